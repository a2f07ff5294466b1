"""everlearn/errors.py: one shape for every error, whatever was sent."""

import json

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied, TooManyFieldsSent
from django.db import DataError, OperationalError
from django.http import Http404, UnreadablePostError
from rest_framework.exceptions import Throttled
from rest_framework.views import APIView

from everlearn import errors
from everlearn.errors import answer_exception
from models_app import refusals
from models_app.learning.schema import InvalidInstances, Problem
from tests.factories import make_champion, make_model
from tests.models_app.test_storing import BROKEN, broken, sqlite

PROBLEMS = [
    Problem("instances.0.alcohol", "required", "alcohol is missing"),
    Problem("instances.3.hue", "invalid_type", "hue is not a number"),
]


def _answer(error: Exception):
    return answer_exception(error, {"request": None, "view": APIView(), "args": (), "kwargs": {}})


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (refusals.NotFound("x"), 404, "client_error", "not_found"),
        (refusals.TooMuch("x"), 413, "client_error", "too_many_items"),
        (refusals.Conflict("x"), 409, "client_error", "conflict"),
        (refusals.GateSaidNo("x"), 422, "client_error", "gate_failed"),
        (refusals.NotServable("x"), 422, "client_error", "not_servable"),
        (refusals.BundleRefused("x", code="bundle_hash_mismatch"), 422, "client_error",
         "bundle_hash_mismatch"),
        (refusals.ModelFailed("x"), 500, "server_error", "model_output_invalid"),
        (refusals.NotReady("x"), 503, "server_error", "model_not_ready"),
        (refusals.Unavailable("x"), 503, "server_error", "unavailable"),
        (refusals.Refused("x"), 400, "validation_error", "refused"),
        (Http404(), 404, "client_error", "not_found"),
        (PermissionDenied(), 403, "client_error", "permission_denied"),
        (Throttled(wait=7), 429, "client_error", "throttled"),
        (Throttled(), 429, "client_error", "throttled"),
        (DataError("canary"), 400, "validation_error", "invalid"),
        (UnreadablePostError("canary"), 400, "validation_error", "body_incomplete"),
        (TooManyFieldsSent("canary"), 400, "validation_error", "too_many_fields"),
    ],
)  # fmt: skip
def test_each_refusal_has_its_status_and_code(error, status, kind, code):
    answer = _answer(error)

    assert answer.status_code == status
    assert answer.data["type"] == kind
    assert [one["code"] for one in answer.data["errors"]] == [code]
    assert ("Retry-After" in answer.headers) == (status in (429, 503))


@pytest.mark.parametrize(("cause", "code"), BROKEN)
def test_a_database_that_takes_nothing_is_unavailable(cause, code):
    answer = _answer(broken(cause))

    assert (answer.status_code, answer.data["errors"][0]["code"]) == (503, code)
    assert answer.headers["Retry-After"]


def test_a_mistake_of_ours_is_not_blamed_on_the_database():
    assert _answer(broken(sqlite("SQLITE_ERROR"))).status_code == 500


@pytest.mark.parametrize("error", [InvalidInstances(PROBLEMS), refusals.InvalidInput(PROBLEMS)])
def test_each_problem_of_an_input_keeps_its_place(error):
    answer = _answer(error)

    assert answer.status_code == 400
    assert answer.data == {
        "type": "validation_error",
        "errors": [
            {"code": "required", "detail": "alcohol is missing", "attr": "instances.0.alcohol"},
            {"code": "invalid_type", "detail": "hue is not a number", "attr": "instances.3.hue"},
        ],
    }


def test_a_generation_that_moved_on_gives_the_current_one():
    answer = _answer(refusals.GenerationMoved("wine: generation 3 no longer serves", generation=4))

    assert answer.status_code == 409
    assert answer.data["generation"] == 4
    assert answer.data["errors"][0]["attr"] == "expected_generation"


def test_every_refusal_there_is_has_a_status():
    def kinds(kind):
        return {kind}.union(*map(kinds, kind.__subclasses__()))

    for kind in kinds(refusals.Refused):
        assert any(issubclass(kind, mapped) for mapped, _ in errors.STATUSES)


def test_an_unforeseen_error_tells_nothing_of_the_inside(caplog):
    answer = _answer(ZeroDivisionError("canary"))

    assert answer.status_code == 500
    assert answer.data["type"] == "server_error"
    assert "canary" not in json.dumps(answer.data)


@pytest.mark.django_db
def test_a_query_of_too_many_fields_is_refused(api):
    """H4."""
    answer = api.get(f"/api/models/?{'a&' * 20_500}")

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "too_many_fields"


@pytest.mark.parametrize("path", ["/api/nothing/", "/api/models/leaves/nothing/", "/api/runs/x/"])
def test_an_unknown_route_of_the_api_is_json_even_for_a_browser(client, path):
    answer = client.get(path, headers={"Accept": "text/html"})

    assert answer.status_code == 404
    assert answer.json() == {
        "type": "client_error",
        "errors": [{"code": "not_found", "detail": "There is nothing here.", "attr": None}],
    }


def test_an_unknown_page_is_a_page_for_a_browser_and_json_for_a_program(client):
    page = client.get("/nothing", headers={"Accept": "text/html,*/*"})
    program = client.get("/nothing", headers={"Accept": "*/*"})

    assert (page.status_code, program.status_code) == (404, 404)
    assert page["Content-Type"].startswith("text/html")
    assert program.json()["type"] == "client_error"


def test_a_host_that_is_not_allowed_is_refused_in_the_same_shape(client, caplog):
    answer = client.get("/docs", headers={"Host": "evil.example"})

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "bad_request"


@pytest.mark.parametrize(
    ("view", "status"), [("permission_denied", 403), ("bad_request", 400), ("not_found", 404)]
)
def test_each_handler_has_a_page_and_a_json(rf, view, status):
    for accept, kind in (("text/html", "text/html"), ("*/*", "application/json")):
        request = rf.get("/", headers={"Accept": accept})
        request.user = AnonymousUser()
        answer = getattr(errors, view)(request, Exception("canary"))
        assert (answer.status_code, answer["Content-Type"].partition(";")[0]) == (status, kind)
        assert b"canary" not in answer.content


def test_a_server_error_outside_the_api_has_a_page_and_a_json(rf):
    page = errors.server_error(rf.get("/", headers={"Accept": "text/html"}))
    program = errors.server_error(rf.get("/api/x/"))

    assert (page.status_code, program.status_code) == (500, 500)
    assert page["Content-Type"].startswith("text/html")
    assert json.loads(program.content)["type"] == "server_error"


def test_a_database_that_is_away_outside_the_api_is_told_apart_from_a_mistake(rf):
    try:
        raise broken(sqlite("SQLITE_BUSY"))
    except OperationalError:
        page = errors.server_error(rf.get("/", headers={"Accept": "text/html"}))
        program = errors.server_error(rf.get("/api/x/"))

    assert (page.status_code, program.status_code) == (503, 503)
    assert page["Content-Type"].startswith("text/html")
    assert json.loads(program.content)["errors"][0]["code"] == "storage_busy"
    assert page["Retry-After"] == program["Retry-After"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "body", "kind", "status", "code"),
    [
        ("post", b"{", "application/json", 400, "parse_error"),
        ("post", b'{"a": 1, "a": 2}', "application/json", 400, "duplicate_name"),
        ("post", b"{}", "text/plain", 415, "unsupported_media_type"),
        ("post", b"a=1", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        ("delete", b"", "application/json", 405, "method_not_allowed"),
        ("post", b"{}", "application/json", 400, "required"),
    ],
)
def test_whatever_is_sent_the_answer_is_json(api, method, body, kind, status, code):
    make_champion(make_model())

    answer = api.generic(method.upper(), "/api/models/leaves/predict/", body, content_type=kind)

    assert answer.status_code == status
    assert answer.json()["errors"][0]["code"] == code
    assert answer["X-Request-ID"]
