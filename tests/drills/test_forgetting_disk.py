"""A host whose disk forgets: database, MLflow's tables and all files are elsewhere."""

from __future__ import annotations

import signal
from pathlib import Path

from tests import databases, s3_server
from tests.factories import SHORT
from tests.instance import Instance, wait_for

KEPT = {"everlearn.toml", "leaves.csv"}  # part of the image
SECRET = "kX29qLmZ7wPfT3vBn5sYc8dRg1hJ6aEu4oWi0kX29qLmZ7wPfT3vBn5s"


def _forget(home: Path) -> None:
    for path in sorted(home.rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()
        elif path.name not in KEPT:
            path.unlink()


def test_nothing_is_lost_with_the_disk(tmp_path: Path) -> None:
    with databases.fresh("postgres") as database, s3_server.bucket() as server:
        elsewhere = {
            "EVERLEARN_SECRET_KEY": SECRET,
            "EVERLEARN_BUNDLE_KEY": SECRET,
            "EVERLEARN_STORAGE": f"s3://{s3_server.BUCKET}/service",
            "MLFLOW_TRACKING_URI": database["DATABASE_URL"],
        }
        with Instance(tmp_path, **database, **server, **elsewhere) as instance:
            instance.start()
            instance.end(signal.SIGTERM)
            _forget(tmp_path)
            assert {path.name for path in tmp_path.iterdir()} == KEPT

            instance.start()

            with instance.client() as client:
                asked = {"instances": [SHORT]}
                answer = client.post("/api/models/leaves/predict/", json=asked)
                assert (answer.status_code, answer.json()["version"]) == (200, 1)
                client.post("/api/models/leaves/retrain/", json={"reason": "after it"})
                wait_for(lambda: _numbers(client) == [2, 1], 60)
        listed = s3_server.client(server).list_objects_v2(Bucket=s3_server.BUCKET)["Contents"]
        places = {"/".join(one["Key"].split("/")[:2]) for one in listed}
        assert {"service/bundles", "service/snapshots", "service/mlartifacts"} <= places
        assert not list(tmp_path.glob("ml*/**/MLmodel"))


def _numbers(client) -> list[int]:
    versions = client.get("/api/models/leaves/versions/").json()["results"]
    return [version["number"] for version in versions]
