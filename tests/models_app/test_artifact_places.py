"""From where files are fetched, and to whom our login for MLflow is shown (S16)."""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from django.conf import settings
from pytest_django import Settings

from models_app import artifact_places, registry
from models_app.refusals import ArtifactUntrusted
from tests.factories import make_model
from tests.models_app import hostile

SERVER = "https://mlflow.example:5000/base"
SERVED = "/base/api/2.0/mlflow-artifacts/artifacts"


def is_trusted(location: str) -> bool:
    try:
        artifact_places.refuse_untrusted(location)
    except ArtifactUntrusted:
        return False
    return True


@pytest.mark.parametrize(
    ("location", "trusted"),
    [
        ("mlflow-artifacts:/3/models/m-1/artifacts", True),
        ("mlflow-artifacts:///3/models/m-1/artifacts", True),
        ("mlflow-artifacts://mlflow.example:5000/3/models", True),
        (f"https://mlflow.example:5000{SERVED}/3", True),
        (f"https://MLflow.example:5000{SERVED}/3", True),
        ("mlflow-artifacts://evil.example/3", False),
        ("mlflow-artifacts://mlflow.example/3", False),
        ("mlflow-artifacts://mlflow.example:5001/3", False),
        ("mlflow-artifacts://mlflow.example:5000@evil.example/3", False),
        ("mlflow-artifacts://user:word@mlflow.example:5000/3", False),
        ("mlflow-artifacts:////evil.example/3", False),
        ("mlflow-artifacts://9018/3", False),
        ("mlflow-artifacts:/3/../../x", False),
        ("mlflow-artifacts:/3/%2e%2e/x", False),
        ("mlflow-artifacts:/3/%252e%252E/x", False),
        ("mlflow-artifacts:/3/..%2fx", False),
        ("mlflow-artifacts:/3\\..\\x", False),
        ("mlflow-artifacts:/3?x=1", False),
        ("mlflow-artifacts:/3#x", False),
        (f"http://mlflow.example:5000{SERVED}/3", False),
        (f"https://mlflow.example{SERVED}/3", False),
        (f"https://mlflow.example:5000.evil.example{SERVED}/3", False),
        (f"https://evil.example:5000{SERVED}/3", False),
        (f"https://mlflow.example:5000{SERVED}evil/3", False),
        (f"https://mlflow.example:5000{SERVED}/../../3", False),
        ("https://mlflow.example:5000/internal", False),
        ("https://mlflow.example:99999/x", False),
        ("https://[::1/x", False),
        ("file:///etc", False),
        ("/etc", False),
        ("s3://other/x", False),
        ("dbfs:/x", False),
        ("ftp://mlflow.example:5000/x", False),
        ("", False),
    ],
)
def test_of_a_server_only_its_own_files_are_trusted(
    location: str, trusted: bool, settings: Settings
) -> None:
    settings.MLFLOW_TRACKING_URI = SERVER

    assert is_trusted(location) is trusted


@pytest.mark.parametrize(
    ("location", "trusted"),
    [
        ("s3://bucket/models/3", True),
        ("file:///mnt/mlflow/3", True),
        ("/mnt/mlflow/3", True),
        ("gs://whole-bucket/3", True),
        ("s3://bucket/models", False),
        ("s3://bucket/models-evil/3", False),
        ("s3://bucket-evil/models/3", False),
        ("s3://bucket/other", False),
        ("S3://bucket/models/../other/3", False),
        ("s3://bucket/models/%2e%2e/other", False),
        ("s3://key@bucket/models/3", False),
        ("gs://bucket/models/3", False),
        ("gs://whole-bucket.evil/3", False),
        ("file://host/mnt/mlflow/3", False),
        ("file://localhost/mnt/mlflow/3", False),
        ("file:////mnt/mlflow/3", False),
        ("file:///mnt/mlflow/../../etc", False),
        ("/mnt/mlflow/../x", False),
        ("//mnt/mlflow/3", False),
    ],
)
def test_of_other_roots_only_what_lies_below_them_is_trusted(
    location: str, trusted: bool, settings: Settings
) -> None:
    settings.MLFLOW_TRACKING_URI = SERVER
    roots = ("s3://bucket/models", "file:///mnt/mlflow", "gs://whole-bucket")
    settings.EVERLEARN_ARTIFACT_ROOTS = roots

    assert is_trusted(location) is trusted


def test_of_an_embedded_mlflow_only_the_home_is_trusted_and_no_link_leads_out(
    settings: Settings, tmp_path: Path
) -> None:
    settings.EVERLEARN_HOME = tmp_path / "home"
    root = tmp_path / "home" / "mlartifacts"
    (root / "wine").mkdir(parents=True)
    (root / "wine" / "out").symlink_to("/etc")
    location = (root / "wine").as_uri()

    assert is_trusted(location)
    assert not is_trusted((tmp_path / "home").as_uri())
    assert not is_trusted("mlflow-artifacts:/3")
    assert artifact_places.local_file(location, "a/b") == root / "wine" / "a" / "b"
    with pytest.raises(ArtifactUntrusted):
        artifact_places.local_file(location, "out/passwd")


class Recording(ThreadingHTTPServer):
    """Notes each request with its login; answers with `status`, `location` and endless bytes."""

    def __init__(self, *, status: int = 200, location: str = "") -> None:
        super().__init__(("127.0.0.1", 0), Recorder)
        self.seen: list[tuple[str, str]] = []
        self.status, self.location = status, location
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Recorder(BaseHTTPRequestHandler):
    server: Recording

    def do_GET(self) -> None:
        self.answer()

    def do_PUT(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        self.server.seen.append((self.path, self.headers.get("Authorization", "")))
        self.send_response(self.server.status)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.end_headers()
        if self.server.status == 200:
            try:
                while True:
                    self.wfile.write(b"x" * 65536)
            except OSError:
                pass

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def evil() -> Iterator[Recording]:
    yield from serving(Recording())


def serving(server: Recording) -> Iterator[Recording]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "everlearn")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "canary-password")


def write_into_mlflow(statement: str, *values: object) -> None:
    """Change MLflow's database in a way that no server of its would take."""
    path = settings.MLFLOW_TRACKING_URI.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(statement, values)


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/internal", "/api/2.0/mlflow-artifacts/artifacts/x"])
def test_a_place_that_names_another_host_is_never_asked(evil: Recording, path: str) -> None:
    model = make_model(f"leaves-{uuid.uuid4().hex[:8]}")
    number = hostile.register(model, *hostile.sound(model))
    source = registry.source_of(model.name, number)
    write_into_mlflow(
        "UPDATE logged_models SET artifact_location = ? WHERE model_id = ?",
        evil.url + path, source.removeprefix("models:/"),
    )  # fmt: skip

    with pytest.raises(ArtifactUntrusted) as refusal:
        registry.fetch(source, "everlearn/manifest.json", most=1000)

    assert refusal.value.code == "artifact_untrusted"
    assert evil.seen == []


@pytest.mark.django_db
def test_nothing_is_sent_to_a_place_that_names_another_host(evil: Recording) -> None:
    """An experiment of the model's name may have been made by others."""
    name = f"leaves-{uuid.uuid4().hex[:8]}"
    experiment = hostile.others().create_experiment(name, settings.EVERLEARN_HOME.as_uri())
    write_into_mlflow(
        "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
        f"{evil.url}{artifact_places.SERVED}/x", int(experiment),
    )  # fmt: skip

    with pytest.raises(ArtifactUntrusted):
        registry.log_version(
            registry.Entry(name, b"", {}, {}), run_id="", on_run=lambda run_id: None, taken=()
        )

    assert evil.seen == []


def test_no_redirect_is_followed_and_no_login_goes_with_one(evil: Recording) -> None:
    for server in serving(Recording(status=302, location=f"{evil.url}/stolen")):
        with pytest.raises(registry.RegistryAway, match="302"):
            registry._streamed(f"{server.url}{artifact_places.SERVED}/x", "manifest.json", 1000)

        assert [login.startswith("Basic ") for _, login in server.seen] == [True]
    assert evil.seen == []


def test_a_server_that_never_stops_sending_is_left_after_the_bytes_allowed(
    evil: Recording,
) -> None:
    content = registry._streamed(f"{evil.url}{artifact_places.SERVED}/x", "manifest.json", 100_000)

    assert len(content) == 100_001
