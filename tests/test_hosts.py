"""render.yaml, railway.toml and deploy/: they say what this code understands, and no secret."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from everlearn import safety
from everlearn.configuration import read, settings_table
from tests.test_compose import GIVEN

ROOT = settings.BASE_DIR
WEB = ["gunicorn", "-c", "gunicorn.conf.py", "everlearn.wsgi"]
WORKER = ["python", "manage.py", "worker"]
MIGRATE = ["python", "manage.py", "migrate", "--no-input"]
SECRETS = {
    "EVERLEARN_SECRET_KEY",
    "EVERLEARN_BUNDLE_KEY",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "DATABASE_URL",
}
FILLED_IN = {
    "EVERLEARN_SECRET_KEY": GIVEN["EVERLEARN_SECRET_KEY"],
    "EVERLEARN_BUNDLE_KEY": GIVEN["EVERLEARN_BUNDLE_KEY"],
    "EVERLEARN_PUBLIC_URL": "https://models.example",
    "EVERLEARN_STORAGE": "s3://bucket/service",
    "DATABASE_URL": "postgresql://everlearn:secret@db.example/everlearn",
    "MLFLOW_TRACKING_URI": "postgresql://everlearn:secret@db.example/everlearn",
}


def _yaml(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def _render(service: str) -> dict[str, Any]:
    services = _yaml("render.yaml")["services"]
    found: dict[str, Any] = next(one for one in services if one["type"] == service)
    return {one["key"]: one.get("value") for one in found["envVars"]}


def _cloud_run(name: str) -> dict[str, Any]:
    (container,) = _yaml(name)["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one.get("value") for one in container["env"]}


# What each part is told; None where the host fills it in.
PARTS = {
    "render web": _render("web"),
    "render worker": _render("worker"),
    "cloud run web": _cloud_run("deploy/cloudrun.yaml"),
    "cloud run worker": _cloud_run("deploy/cloudrun-worker.yaml"),
}


@pytest.mark.parametrize("part", PARTS)
def test_every_setting_is_one_and_no_secret_is_written_down(part: str) -> None:
    told = PARTS[part]
    known = {setting.metadata["name"] for setting in settings_table()}

    assert {name for name in told if not name.startswith("AWS_")} <= known
    assert {name: told[name] for name in SECRETS} == dict.fromkeys(SECRETS)


@pytest.mark.parametrize("part", PARTS)
def test_it_is_fit_for_production_once_filled_in(part: str) -> None:
    told = {name: text for name, text in PARTS[part].items() if text is not None}
    given = read({**told, **FILLED_IN}, Path("/nowhere"))

    assert given.environment == "production"
    assert safety.unsafe_settings(given) == []


def test_web_and_worker_of_a_host_share_database_files_and_key() -> None:
    for host in ("render", "cloud run"):
        assert {*FILLED_IN, *SECRETS} <= set(PARTS[f"{host} web"])
        assert {*FILLED_IN, *SECRETS} <= set(PARTS[f"{host} worker"])


def test_they_start_what_compose_starts_and_ask_the_same_for_health() -> None:
    render = {one["type"]: one for one in _yaml("render.yaml")["services"]}
    _, _, line = shlex.split(render["web"]["dockerCommand"])
    first, then = line.split(" && exec ")
    assert (shlex.split(first), shlex.split(then)) == (MIGRATE, WEB)
    assert shlex.split(render["worker"]["dockerCommand"]) == WORKER
    railway = tomllib.loads((ROOT / "railway.toml").read_text())["deploy"]
    assert [shlex.split(line) for line in railway["preDeployCommand"]] == [MIGRATE]
    assert shlex.split(railway["startCommand"]) == WEB
    other = tomllib.loads((ROOT / "deploy/railway-worker.toml").read_text())["deploy"]
    assert shlex.split(other["startCommand"]) == WORKER
    for name, command in (("cloudrun", WEB), ("cloudrun-worker", WORKER)):
        (one,) = _yaml(f"deploy/{name}.yaml")["spec"]["template"]["spec"]["containers"]
        assert [*one["command"], *one["args"]] == command
    assert render["web"]["healthCheckPath"] == railway["healthcheckPath"] == "/health"


def test_the_pages_name_files_that_are_there() -> None:
    for page in (ROOT / "docs/deploy").glob("*.md"):
        for name in re.findall(r"(?:deploy/|docs/)[\w./-]+\.(?:ya?ml|toml|md)", page.read_text()):
            assert (ROOT / name).is_file(), f"{page.name} names {name}"
