"""everlearn/openapi.py: the schema is complete, and every answer is as it says.

H7: schemathesis makes requests from the schema, right and wrong ones, in each role.
HOSTILE_EXAMPLES: how many for each operation and role; by default few, for everyday use.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
import schemathesis
from django.conf import settings
from django.db import connection
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from everlearn.access import SCOPES
from everlearn.wsgi import application
from models_app.models import RegistrySync
from tests.factories import make_champion, make_model, make_user, make_version
from tests.feedback_app.makers import make_prediction, make_run

EXAMPLES = int(os.environ.get("HOSTILE_EXAMPLES", "4"))
SEED_ROUTES = {
    "/predict",
    "/feedback",
    "/trigger",
    "/reload-model",
    "/health",
    "/ready",
    "/metrics",
}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ROLES = {
    "anonymous": None,
    "viewer": ("read", "predict"),
    "client": ("predict", "feedback"),
    "manager": tuple(SCOPES),
    "ci": ("retrain", "reload"),
}
Headers = dict[str, str]


def _addressed(environ: dict[str, Any], start_response: Any) -> Any:
    """The application, told a client's address as every server does."""
    return application(environ | {"REMOTE_ADDR": "192.0.2.1"}, start_response)


def _schema() -> Any:
    return schemathesis.openapi.from_wsgi("/api/schema/", _addressed)


@pytest.fixture
def known(one_connection: None) -> dict[str, Any]:
    """What path parameters may name that is really there."""
    version = make_champion(make_model())
    make_version(version.registered_model)
    prediction, run = make_prediction(version), make_run(version.registered_model)
    # As though a worker always answered at once: a reload then waits for nobody.
    tomorrow = timezone.now() + timedelta(days=1)
    answered = {"started_at": tomorrow, "finished_at": tomorrow}
    RegistrySync.objects.update_or_create(pk=1, defaults=answered)
    return {"name": "leaves", "number": 1, "prediction": str(prediction.pk), "run": run.pk}


# On PostgreSQL one role that gets everywhere: all of them would take minutes, for the same answers.
TRIED = [*ROLES, "superuser"] if connection.vendor == "sqlite" else ["superuser"]


@pytest.fixture(params=TRIED)
def headers(request: pytest.FixtureRequest, key: Callable[..., str]) -> Headers:
    """What somebody in each role sends along."""
    if request.param == "superuser":
        browser = Client()
        browser.force_login(make_user("boss", is_staff=True, is_superuser=True))
        browser.cookies[settings.CSRF_COOKIE_NAME] = token = "c" * 32
        cookies = {name: cookie.value for name, cookie in browser.cookies.items()}
        told = "; ".join(f"{name}={value}" for name, value in cookies.items())
        return {"Cookie": told, "X-CSRFToken": token}
    scopes = ROLES[request.param]
    return {"Authorization": f"Bearer {key(*scopes)}"} if scopes else {}


def test_every_answer_is_as_the_schema_says(known, headers):
    """H7."""
    for found in _schema().get_all_operations():
        operation = found.ok()
        for mode in schemathesis.GenerationMode:
            _try(operation, mode, known, headers)


def _try(operation: Any, mode: Any, known: dict[str, Any], headers: Headers) -> None:
    @hypothesis_settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), real=st.booleans())
    def one(case: Any, real: bool) -> None:
        if real:
            case.path_parameters |= _real(operation.path, case.path_parameters, known)
        answer = case.call(headers=headers)
        case.validate_response(answer, checks=CHECKS, headers=headers)

    # An operation without parameters has nothing that could be wrong.
    with suppress(Unsatisfiable):
        one()


def _real(path: str, parameters: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    kind = "run" if path.startswith("/api/runs/") else "prediction"
    names = {"name": "name", "number": "number", "id": kind}
    return {name: known[names[name]] for name in parameters}


def test_the_schema_and_the_routes_agree(one_connection):
    """A route that nobody described, or a description of none, fails here."""
    described = {path.replace("{id}", "{pk}") for path in _schema().raw_schema["paths"]}
    routes = {
        route
        for route in _routes(get_resolver().url_patterns)
        if route.startswith("/api/") or route in SEED_ROUTES
    }

    assert described == routes


def _routes(patterns: list[URLPattern | URLResolver], before: str = "/") -> Iterator[str]:
    for pattern in patterns:
        route = before + _as_described(str(pattern.pattern))
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern.url_patterns, route)
        else:
            yield route


def _as_described(route: str) -> str:
    """A Django route such as `<int:pk>/` as OpenAPI writes it: `{pk}/`."""
    return route.replace("<", "{").replace(">", "}").replace("{int:", "{").replace(
        "{str:", "{"
    ).replace("{uuid:", "{")  # fmt: skip
