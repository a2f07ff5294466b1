"""restoring.py, and the whole of archiving.py and dumps.py on both databases."""

from __future__ import annotations

import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from everlearn.supervising import UNFINISHED_RESTORE, sole_instance
from tests import databases, s3_server
from tests.everlearn.backups.home import ASKED, ask, fill, manage

ALIVE = """
from datetime import timedelta
from django.utils import timezone
from models_app.models import WebProcess
WebProcess.objects.create(host="a", pid=1, seen_at=timezone.now() + timedelta(minutes=1))
"""


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_home_is_as_it_was_after_a_restore(kind: str, tmp_path: Path) -> None:
    """O1, without the load."""
    first, second, backup = tmp_path / "first", tmp_path / "second", tmp_path / "backup"
    with databases.fresh(kind) as old, databases.fresh(kind) as new:
        fill(first, **old)
        was = ask(first, ASKED, **old)
        made = manage(first, "backup", str(backup), **old)
        assert made.returncode == 0, made.stderr
        assert "7 predictions" in made.stdout
        assert manage(first, "backup", "--verify", str(backup), **old).returncode == 0
        second.mkdir()
        manage(second, "migrate", "-v0", **new)

        signed = new | {"EVERLEARN_SECRET_KEY": (first / "secret_key").read_text()}
        restored = manage(second, "restore", str(backup), **signed)

        assert restored.returncode == 0, restored.stderr
        assert ask(second, ASKED, **new) == was
        assert was.strip().endswith("True")
        for name in ("secret_key", "mlflow.db"):
            assert (second / name).exists()
        assert (second / "secret_key").read_text() == (first / "secret_key").read_text()
        assert _files(second / "storage") == _files(first / "storage")
        assert _files(second, "*opened-*") == _files(second, "*replaced") == []

        # From now on the key is in this home.
        refused = manage(second, "restore", str(backup), **new)
        assert (refused.returncode, "not_empty" in refused.stderr) == (1, True)
        ask(second, "from models_app.models import *; Prediction.objects.all().delete()", **new)
        assert manage(second, "restore", str(backup), "--force", **new).returncode == 0
        assert ask(second, ASKED, **new) == was


def _files(folder: Path, pattern: str = "*") -> list[tuple[str, bytes]]:
    found = [path for path in sorted(folder.rglob(pattern)) if path.is_file()]
    return [(path.relative_to(folder).as_posix(), path.read_bytes()) for path in found]


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("backed-up")
    fill(home)
    assert manage(home, "backup", str(home / "backup")).returncode == 0
    return home / "backup"


def test_a_bucket_holds_what_the_backup_held_and_can_be_backed_up(
    backup: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    with s3_server.bucket() as server:
        environ = server | {"EVERLEARN_STORAGE": f"s3://{s3_server.BUCKET}/here"}
        s3 = s3_server.client(server)
        for name in ("here/bundles/old", "elsewhere"):
            s3.put_object(Bucket=s3_server.BUCKET, Key=name, Body=b"")
        refused = manage(tmp_path, "restore", str(backup), "--trust", **environ)
        assert "the storage holds bundles/old" in refused.stderr

        restored = manage(tmp_path, "restore", str(backup), "--force", "--trust", **environ)
        assert restored.returncode == 0, restored.stderr
        made = manage(tmp_path, "backup", str(again), **environ)
        assert made.returncode == 0, made.stderr
        found = {one["Key"] for one in s3.list_objects_v2(Bucket=s3_server.BUCKET)["Contents"]}

    there = {f"here/{name}" for name, _ in _files(backup.parent / "storage")}
    assert found == there | {"elsewhere"}
    assert not (tmp_path / "storage").exists()
    assert manage(tmp_path, "backup", "--verify", str(again)).returncode == 0


def test_nothing_is_restored_under_a_running_instance(backup: Path, tmp_path: Path) -> None:
    with sole_instance(tmp_path):
        refused = manage(tmp_path, "restore", str(backup), "--force")

    assert refused.returncode == 1
    assert "already runs" in refused.stderr
    assert not (tmp_path / "storage").exists()


def test_nothing_is_restored_under_a_web_process_without_a_supervisor(backup: Path) -> None:
    # For the minute that it may take to ask: a real one goes on saying that it lives.
    ask(backup.parent, ALIVE)

    refused = manage(backup.parent, "restore", str(backup), "--force")

    assert refused.returncode == 1
    assert "running: web process a:1" in refused.stderr


def test_nothing_starts_on_half_a_restore_and_another_completes_it(
    backup: Path, tmp_path: Path
) -> None:
    (tmp_path / UNFINISHED_RESTORE).touch()

    started = manage(tmp_path, "up")
    restored = manage(tmp_path, "restore", str(backup), "--trust")

    assert started.returncode == 1
    assert "run manage.py restore again" in started.stderr
    assert restored.returncode == 0
    assert not (tmp_path / UNFINISHED_RESTORE).exists()
    with sole_instance(tmp_path):
        pass


def test_who_was_forgotten_after_the_backup_stays_forgotten(backup: Path, tmp_path: Path) -> None:
    """V3."""
    assert manage(tmp_path, "restore", str(backup), "--trust").returncode == 0
    assert manage(tmp_path, "forget", "--subject", "s3").returncode == 0

    restored = manage(tmp_path, "restore", str(backup), "--force", "--trust")

    assert restored.returncode == 0, restored.stderr
    asked = manage(tmp_path, "export_subject", "--subject", "s3")
    assert "Nothing is known of" in asked.stderr
    assert manage(tmp_path, "export_subject", "--subject", "s4").returncode == 0


QUEUED = """
from django_q.models import OrmQ, Schedule
OrmQ.objects.create(key="default", payload="planted")
Schedule.objects.create(func="os.system", args="'touch planted'")
"""
LOADED = """
from models_app import bundles
from models_app.models import RegisteredModel
print(bundles.load(RegisteredModel.objects.get().champion.bundle_digest).name)
"""
QUEUE = """
from django_q.models import OrmQ, Schedule, Task
print(OrmQ.objects.count(), Schedule.objects.count(), Task.objects.count())
"""


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup by another installation, with messages for the queue that it planted."""
    home = tmp_path_factory.mktemp("foreign")
    fill(home)
    ask(home, QUEUED)
    assert manage(home, "backup", str(home / "backup")).returncode == 0
    return home / "backup"


def test_a_backup_of_another_installation_is_refused_and_touches_nothing(
    foreign: Path, tmp_path: Path
) -> None:
    fill(tmp_path)
    before = ask(tmp_path, ASKED), (tmp_path / "secret_key").read_text()

    refused = manage(tmp_path, "restore", str(foreign), "--force")
    looked_at = manage(tmp_path, "backup", "--verify", str(foreign))

    assert refused.returncode == 1
    assert "signature_unknown" in refused.stderr
    assert "--trust" in refused.stderr
    assert (ask(tmp_path, ASKED), (tmp_path / "secret_key").read_text()) == before
    assert looked_at.returncode == 0
    assert "needs --trust" in looked_at.stderr


def test_a_trusted_foreign_backup_brings_neither_its_queue_nor_its_key(
    foreign: Path, tmp_path: Path
) -> None:
    assert manage(tmp_path, "migrate", "-v0").returncode == 0
    own = (tmp_path / "secret_key").read_text()

    restored = manage(tmp_path, "restore", str(foreign), "--trust")

    assert restored.returncode == 0, restored.stderr
    assert ask(tmp_path, QUEUE).strip() == "0 0 0"
    assert ask(tmp_path, LOADED).strip() == "leaves"
    assert set((tmp_path / "bundle_key").read_text().split()).isdisjoint(
        (foreign.parent / "bundle_key").read_text().split()
    )
    keys = {own, (foreign.parent / "secret_key").read_text(), (tmp_path / "secret_key").read_text()}
    assert len(keys) == 3
    assert (tmp_path / "secret_key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("part", ["manifest.json", "signature", "secret_key"])
def test_a_backup_that_was_changed_after_it_was_signed_is_refused(
    backup: Path, tmp_path: Path, part: str
) -> None:
    changed = tmp_path / "changed"
    rewrite(backup, changed, part)
    key = {"EVERLEARN_SECRET_KEY": (backup.parent / "secret_key").read_text()}

    refused = manage(tmp_path / "home", "restore", str(changed), **key)

    assert refused.returncode == 1
    assert "signature_unknown" in refused.stderr or "member_damaged" in refused.stderr
    assert not (tmp_path / "home" / "storage").exists()


def rewrite(backup: Path, target: Path, part: str) -> None:
    """A copy of a backup with one file of it changed."""
    with tarfile.open(backup) as old, tarfile.open(target, "w:gz") as new:
        for member in old:
            opened = old.extractfile(member)
            assert opened
            content = opened.read()
            if member.name == part:
                content = content[:-2] + b" " + content[-2:]
            member.size = len(content)
            new.addfile(member, BytesIO(content))


def test_a_backup_of_another_kind_of_database_is_refused(backup: Path, tmp_path: Path) -> None:
    with databases.fresh("postgres") as url:
        refused = manage(tmp_path, "restore", str(backup), "--trust", **url)

    assert refused.returncode == 1
    assert "other_database: it is of sqlite" in refused.stderr


def test_a_backup_that_is_not_whole_touches_nothing(backup: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes(backup.read_bytes()[:-9])
    home = tmp_path / "home"

    refused = manage(home, "restore", str(cut))

    assert refused.returncode == 1
    assert "truncated" in refused.stderr
    assert {path.name for path in home.iterdir()} <= {
        "secret_key", "bundle_key", "up.lock", "db.sqlite3"
    }  # fmt: skip
