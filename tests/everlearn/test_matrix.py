"""A1: the matrix of roles and actions, generated from the table and tried at every door."""

from __future__ import annotations

import itertools

import pytest
from rest_framework.test import APIClient

from everlearn.access import SCOPES
from everlearn.doors import ANYBODY, OWN, ROUTES
from models_app.models import RegisteredModel
from tests.everlearn.routes import ROLES, Route, client_as, may, routes
from tests.factories import make_champion, make_model

pytestmark = pytest.mark.django_db

BY_NAME = {route.name: route for route in routes()}
PAGES = ("model-page", "model-feedback", "home", "docs")
# Which model is asked for, and so whether it is public, the body of feedback says.
TOLD_BY_THE_BODY = ("feedback", "default-feedback")
CELLS = [
    (name, method, role)
    for (name, doors), role in itertools.product(ROUTES.items(), ROLES)
    for method in doors
    if name not in PAGES
]


def _entered(client: APIClient, method: str, route: Route, **headers: str) -> bool:
    """Whether the door let the client in, whatever it then found; nothing else is a refusal."""
    answer = client.generic(method, route.path, "{}", "application/json", headers=headers)
    assert answer.status_code != 500
    return answer.status_code not in (401, 403)


def _cells(chosen: list[tuple[str, str, str]]) -> pytest.MarkDecorator:
    ids = [f"{method} {name} as {role}" for name, method, role in chosen]
    return pytest.mark.parametrize(("name", "method", "role"), chosen, ids=ids)


@_cells(CELLS)
def test_a_door_lets_in_exactly_those_whom_the_table_names(
    name: str, method: str, role: str
) -> None:
    """A1. No model is there: whoever enters is told so, and nothing is waited for."""
    entered = _entered(client_as(role), method, BY_NAME[name])

    door = ROUTES[name][method]
    # That there is no default model its own route tells anybody.
    told_later = door.public and (name in ("feedback", "default-feedback", "default-predict"))
    assert entered == (told_later or may(role, door.action))


@pytest.fixture
def private_model() -> RegisteredModel:
    return make_champion(make_model(public=False)).registered_model


REFUSED = [cell for cell in CELLS if not may(cell[2], ROUTES[cell[0]][cell[1]].action)]


@_cells([cell for cell in REFUSED if cell[0] not in TOLD_BY_THE_BODY or cell[1] != "POST"])
def test_whom_the_table_does_not_name_no_private_model_lets_in(
    private_model: RegisteredModel, name: str, method: str, role: str
) -> None:
    """A1, A2. And a stranger is told the same of a model that does not exist."""
    client, route = client_as(role), BY_NAME[name]
    answers = [client.generic(method, route.path, "{}", "application/json")]
    if "leaves" in route.path:
        unknown = route.path.replace("leaves", "no-such")
        answers.append(client.generic(method, unknown, "{}", "application/json"))

    assert {answer.status_code for answer in answers} == {401 if role == "anonymous" else 403}
    assert len({answer.content for answer in answers}) == 1
    private_model.refresh_from_db()
    assert private_model.generation == 1


GUARDED = [
    pytest.param(name, method, id=f"{method} {name}")
    for name, doors in ROUTES.items()
    for method, door in doors.items()
    if door.action not in (ANYBODY, OWN) and name not in PAGES
    and name not in TOLD_BY_THE_BODY
]  # fmt: skip


@pytest.mark.parametrize(("name", "method"), GUARDED)
def test_of_the_scopes_of_a_key_the_one_that_is_named_opens_and_all_others_do_not(
    private_model: RegisteredModel, name: str, method: str
) -> None:
    """A1, A5."""
    action, route = ROUTES[name][method].action, BY_NAME[name]
    others = ",".join(scope for scope in SCOPES if scope != action)

    assert not _entered(client_as(f"key:{others}"), method, route)
    RegisteredModel.objects.update(name="renamed", is_default=False)  # nothing to wait for
    assert _entered(client_as(f"key:{action}"), method, route)


@pytest.mark.parametrize(("name", "method"), GUARDED)
def test_no_other_way_of_asking_opens_a_door(
    private_model: RegisteredModel, name: str, method: str
) -> None:
    """A1: HEAD and OPTIONS, a method in a header or a field, a format in the address."""
    route = BY_NAME[name]
    client = client_as("key:predict" if ROUTES[name][method].action != "predict" else "key:read")

    for other in ("HEAD", "OPTIONS", "PATCH", "TRACE"):
        assert not _entered(client, other, route), other
    for header in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        for sent in ("GET", "POST"):
            assert not _entered(client, sent, route, **{header: method}), header
    for suffix in ("?format=json", "?format=api", "?_method=POST", "?method=POST", ".json", ".api"):
        path = route.path + suffix
        if suffix.startswith(".") and route.path.endswith("/"):
            path = route.path.rstrip("/") + suffix + "/"
        answer = client.generic(method, path, "{}", "application/json")
        assert answer.status_code in (403, 404), suffix
    private_model.refresh_from_db()
    assert private_model.generation == 1
