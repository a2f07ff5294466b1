"""compose.yaml: what is safe about it, and what waits for what."""

from __future__ import annotations

from typing import Any

import pytest

from everlearn import safety
from everlearn.configuration import read
from tests import composed

GIVEN = {
    "EVERLEARN_SECRET_KEY": "kX29qLmZ7wPfT3vBn5sYc8dRg1hJ6aEu4oWi0kX29qLmZ7wPfT3vBn5s",
    "EVERLEARN_BUNDLE_KEY": "Wb3nT8qLr5yPz2dVxK7mJc4hGf9sEu1a",
    "EVERLEARN_PUBLIC_URL": "https://models.example",
    "POSTGRES_PASSWORD": "postgresPassword1",
    "REDIS_PASSWORD": "redisPassword1",
    "MLFLOW_PASSWORD": "mlflowPassword1",
    "MLFLOW_SECRET_KEY": "mlflowSecretKey1",
    "MLFLOW_DATABASE_PASSWORD": "mlflowDatabasePassword1",
    "STORE_PASSWORD": "storePassword1",
}
ONCE = {"migrate", "bucket", "apply"}
OURS = {*ONCE, "web", "worker", "mlflow"}


def _services() -> dict[str, Any]:
    services: dict[str, Any] = composed.read(GIVEN)["services"]
    return services


@pytest.mark.parametrize("name", GIVEN)
def test_no_secret_has_a_default(name: str) -> None:
    with pytest.raises(composed.Missing, match=name):
        composed.read({other: text for other, text in GIVEN.items() if other != name})


@pytest.mark.parametrize("name", sorted(OURS - {"mlflow"}))
def test_its_settings_are_fit_for_production(name: str, monkeypatch, tmp_path) -> None:
    environ = {key: str(text) for key, text in _services()[name]["environment"].items()}
    for key, text in environ.items():
        monkeypatch.setenv(key, text)

    assert environ["EVERLEARN_ENVIRONMENT"] == "production"
    assert safety.unsafe_settings(read(environ, tmp_path / "none")) == []


def test_only_web_is_reached_from_outside_and_only_from_this_machine() -> None:
    """O4: neither MLflow nor the store publishes a port."""
    ports = {name: service["ports"] for name, service in _services().items() if "ports" in service}

    assert ports == {"web": ["127.0.0.1:8000:8000"]}


def test_mlflow_asks_for_a_login_keeps_sql_and_knows_no_secret_of_ours() -> None:
    """O4."""
    mlflow = _services()["mlflow"]

    assert "--app-name=basic-auth" in mlflow["command"]
    assert mlflow["environment"]["MLFLOW_BACKEND_STORE_URI"].startswith("postgresql+psycopg://")
    assert mlflow["environment"]["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    known = " ".join(mlflow["environment"].values())
    assert GIVEN["EVERLEARN_SECRET_KEY"] not in known
    assert GIVEN["POSTGRES_PASSWORD"] not in known


@pytest.mark.parametrize("name", sorted(_services()))
def test_every_part_is_read_only_and_gains_no_rights(name: str) -> None:
    service = _services()[name]

    assert service["read_only"] is True
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service


def test_what_stays_has_a_health_check_and_starts_again() -> None:
    for name, service in _services().items():
        if name in ONCE:
            assert service["healthcheck"] == {"disable": True}
            assert service["restart"].startswith("on-failure")
        else:
            # That of web is the image's own.
            assert name == "web" or service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
            assert service["restart"] == "unless-stopped"


def test_web_and_worker_wait_for_one_migration_and_for_healthy_parts() -> None:
    services = _services()

    for name in ("web", "worker"):
        waits = {other: how["condition"] for other, how in services[name]["depends_on"].items()}
        for once in ("migrate", "bucket"):
            assert waits.pop(once) == "service_completed_successfully"
        assert set(waits) == {"postgres", "redis", "mlflow", "store"}
        assert set(waits.values()) == {"service_healthy"}


def test_one_image_is_web_worker_and_mlflow_and_named_volumes_are_declared() -> None:
    services, volumes = _services(), composed.read(GIVEN)["volumes"]

    assert {services[name]["image"] for name in OURS} == {"everlearn:local"}
    used = {mount.split(":")[0] for one in services.values() for mount in one.get("volumes", ())}
    assert used == set(volumes)
