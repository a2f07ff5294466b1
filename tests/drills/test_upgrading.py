"""O3: the release before serves and trains on the newest schema, beside this one, under load."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from django.conf import settings

from tests import databases, environments
from tests.drills import invariants
from tests.drills.history import Clients
from tests.drills.releases import unpack_older
from tests.instance import Instance, wait_for

MIGRATE = (sys.executable, "-u", "manage.py", "migrate")


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("older")
    unpack_older(tree)
    return tree


@pytest.mark.parametrize("kind", databases.KINDS)
def test_the_release_before_goes_on_while_and_after_the_schema_changes(
    kind: str, older: Path, tmp_path: Path
) -> None:
    with (
        databases.fresh(kind) as database,
        Instance(tmp_path, tree=str(older), **database) as before,
    ):
        before.start()
        assert _pending(before)
        with Clients(before.url, before.key, rate=20) as clients:
            wait_for(lambda: clients.history.answered_since(0), 10)
            _kill_in_the_middle(before)
            assert _by_us(before, *MIGRATE).returncode == 0
            assert not _pending(before)
            migrated = time.time()
            with _of_this_release(before) as url:
                _goes_on(clients, migrated)
                with Clients(url, before.key, rate=20) as newer:
                    wait_for(lambda: len(newer.history) > 20, 15)
                _trains(before)
            rolled_back = time.time()
            _goes_on(clients, rolled_back)
        exchanges = [*clients.history, *newer.history]
        invariants.check(before, exchanges)
        assert {one.status for one in exchanges} <= {200, 201}


def _goes_on(clients: Clients, since: float) -> None:
    wait_for(lambda: sum(one.sent > since for one in clients.history) > 20, 15)


def _by_us(before: Instance, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of this release on the home of the one before."""
    return subprocess.run(
        command, cwd=settings.BASE_DIR, env=before.environ,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def _pending(before: Instance) -> bool:
    return _by_us(before, *MIGRATE, "--check").returncode != 0


def _kill_in_the_middle(before: Instance) -> None:
    """kill -9 while a migration is being applied."""
    with subprocess.Popen(
        MIGRATE, cwd=settings.BASE_DIR, env=before.environ, stdout=subprocess.PIPE
    ) as migrating:
        assert migrating.stdout
        said = b""
        while b"Applying" not in said:
            read = os.read(migrating.stdout.fileno(), 1000)
            assert read, said
            said += read
        migrating.kill()


@contextmanager
def _of_this_release(before: Instance) -> Iterator[str]:
    """A web process of this release on the same database and files; its address."""
    home = before.home / "newer"
    home.mkdir()
    (home / "storage").symlink_to(before.home / "storage")
    for key in ("secret_key", "bundle_key"):
        (home / key).symlink_to(before.home / key)
    port = str(Instance(home).port)
    database = before.environ.get("DATABASE_URL") or f"sqlite:///{before.home}/db.sqlite3"
    environ = before.environ | {
        "EVERLEARN_HOME": str(home), "PORT": port, "DATABASE_URL": database, "WEB_CONCURRENCY": "1",
    }  # fmt: skip
    web = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "everlearn.wsgi"],
        cwd=settings.BASE_DIR, env=environments.without_defaults(environ),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: _ready(url), 30)
        yield url
    finally:
        web.terminate()
        web.wait(10)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def _trains(before: Instance) -> None:
    """The worker of the release before writes its runs and versions into the new schema."""
    with before.client() as client:
        queued = client.post("/api/models/leaves/retrain/", json={"reason": "upgraded"})
        assert queued.status_code == 202, queued.text
        run = f"/api/runs/{queued.json()['run']}/"
        over = ("succeeded", "rejected", "held", "failed")
        wait_for(lambda: client.get(run).json()["status"] in over, 60)
        assert client.get(run).json()["status"] != "failed", client.get(run).text
