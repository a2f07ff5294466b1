"""Back up at load, lose everything, restore by the README, carry on: O1.

The same on PostgreSQL, without the load, is in `tests/everlearn/backups/test_restoring.py`.
"""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.factories import SHORT
from tests.instance import Instance

WRITERS = 3
PAUSE = 0.02


class Clients:
    """Clients that predict and give feedback without a pause, and what was acknowledged when."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._stop = threading.Event()
        self.acknowledged: list[tuple[float, str, dict[str, Any]]] = []
        self.refused: list[str] = []

    @contextmanager
    def writing(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._write, daemon=True) for _ in range(WRITERS)]
        for thread in threads:
            thread.start()
        yield
        self._stop.set()
        for thread in threads:
            thread.join(30)

    def _write(self) -> None:
        with self._instance.client() as client:
            while not self._stop.wait(PAUSE):
                predicted = self._post(client, "models/leaves/predict/", {"instances": [SHORT]})
                if predicted:
                    word = {"prediction": predicted["predictions"][0]["id"], "value": "elm"}
                    self._post(client, "feedback/", word)

    def _post(self, client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = client.post(f"/api/{path}", json=body)
        if answer.is_success:
            said: dict[str, Any] = answer.json()
            self.acknowledged.append((time.monotonic(), path, said))
            return said
        self.refused.append(answer.text)
        return {}

    def before(self, moment: float, path: str) -> list[dict[str, Any]]:
        """What was answered before a moment."""
        return [said for at, to, said in self.acknowledged if at < moment and to == path]

    def wait_for_writes(self, count: int) -> None:
        """Return once so many more were acknowledged."""
        until = len(self.acknowledged) + count
        deadline = time.monotonic() + 60
        while len(self.acknowledged) < until:
            assert time.monotonic() < deadline, self.refused[:3]
            time.sleep(0.02)


def _ids(instance: Instance, path: str) -> set[str]:
    """The ids on every page of a list."""
    found: set[str] = set()
    with instance.client() as client:
        url = f"/api/{path}"
        while url:
            page = client.get(url).json()
            found |= {row["id"] for row in page["results"]}
            url = page["next"]
    return found


def test_all_that_was_acknowledged_before_a_backup_outlives_the_loss_of_everything(
    tmp_path: Path,
) -> None:
    """O1."""
    backup = tmp_path / "backup.tar.gz"
    homes = [tmp_path / "first", tmp_path / "second"]
    for home in homes:
        home.mkdir()
    with Instance(homes[0]) as first:
        first.start()
        clients = Clients(first)
        began = _back_up_at_load(first, clients, backup)
        key = first.key
        first.end(signal.SIGTERM)
        secret = (homes[0] / "secret_key").read_text()
        shutil.rmtree(homes[0])

    with Instance(homes[1]) as second:
        # What an operator keeps apart from the backup, as the documentation asks.
        (homes[1] / "secret_key").write_text(secret)
        (homes[1] / "secret_key").chmod(0o600)
        restored = second.manage("restore", str(backup))
        assert restored.returncode == 0, restored.stderr
        _refuse_addresses_of(homes[0], homes[1] / "mlflow.db")
        second.key = key
        second.start()
        assert second.ready()
        _look_for(clients, began, second)
        doctor = second.manage("doctor")
        assert doctor.returncode == 0, doctor.stdout


def _back_up_at_load(instance: Instance, clients: Clients, backup: Path) -> float:
    """Make a backup while all goes on; when it began."""
    with clients.writing():
        clients.wait_for_writes(40)
        began = time.monotonic()
        made = instance.manage("backup", str(backup))
        clients.wait_for_writes(20)
    assert made.returncode == 0, made.stderr
    assert clients.refused == []
    assert backup.stat().st_mode & 0o077 == 0
    refused = instance.manage("restore", str(backup), "--force")
    assert (refused.returncode, "already runs" in refused.stderr) == (1, True)
    return began


def _look_for(clients: Clients, began: float, instance: Instance) -> None:
    """Whatever was acknowledged before a moment is there, and the ledger too."""
    predictions = clients.before(began, "models/leaves/predict/")
    with instance.client() as client:
        for said in predictions[-25:]:
            prediction = said["predictions"][0]
            answer = client.get(f"/api/predictions/{prediction['id']}/")
            assert answer.json()["probabilities"] == prediction["probabilities"]
        ledger = client.get("/api/models/leaves/deployments/").json()["results"]
    assert [line["generation"] for line in ledger] == [1]
    words = {said["id"] for said in clients.before(began, "feedback/")}
    assert words
    assert words <= _ids(instance, "feedback/")


def _refuse_addresses_of(old_home: Path, mlflow: Path) -> None:
    """MLflow's artefacts are said to be where they are now, and are there."""
    with closing(sqlite3.connect(mlflow)) as database:
        told = [row[0] for row in database.execute("SELECT artifact_location FROM experiments")]
        told += [row[0] for row in database.execute("SELECT artifact_uri FROM runs")]
        told += [row[0] for row in database.execute("SELECT storage_location FROM model_versions")]
    assert str(old_home) not in json.dumps(told)
    held = [address for address in told if str(mlflow.parent) in address]
    assert held
    assert any(Path(address.removeprefix("file://")).is_dir() for address in held)
