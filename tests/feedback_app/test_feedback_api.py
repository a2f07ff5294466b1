from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from rest_framework.test import APIClient

from feedback_app.models import Feedback
from tests.conftest import KeyMaker
from tests.factories import LONG, make_champion, make_model
from tests.feedback_app.makers import make_feedback, make_prediction

pytestmark = pytest.mark.django_db

OAK: dict[str, Any] = {"model": "leaves", "features": LONG, "value": "oak"}


@pytest.mark.parametrize("path", ["/api/feedback/", "/feedback"])
def test_a_visitor_gives_feedback_on_a_public_models_prediction(api: APIClient, path: str) -> None:
    prediction = make_prediction(make_champion())

    answer = api.post(path, {"prediction": prediction.pk, "value": "oak", "comment": "sure"})

    assert answer.status_code == 201
    body = answer.json()
    assert UUID(body["id"]) == Feedback.objects.get().pk
    assert body["status"] == "accepted"
    assert body["prediction"] == str(prediction.pk)
    assert (body["model"], body["value"]) == ("leaves", "oak")


def test_suspicious_feedback_is_told_that_it_waits(api: APIClient) -> None:
    prediction = make_prediction(make_champion())

    body = api.post("/api/feedback/", {"prediction": prediction.pk, "value": "elm"}).json()

    assert (body["status"], body["reasons"]) == ("quarantined", [])
    assert Feedback.objects.get().reasons == ["confident_disagreement"]


def test_the_route_without_a_model_means_the_default_one(api: APIClient) -> None:
    make_model("other")
    make_model(is_default=False)

    body = api.post("/feedback", {"features": LONG, "value": "oak"}).json()

    assert body["model"] == "other"


def test_an_unknown_prediction_is_not_found(api: APIClient) -> None:
    answer = api.post("/api/feedback/", {"prediction": uuid4(), "value": "oak"})

    assert answer.status_code == 404
    assert answer.json()["errors"][0]["code"] == "not_found"


def test_to_a_visitor_private_and_unknown_models_look_the_same(api: APIClient) -> None:
    make_model(public=False)

    private = api.post("/api/feedback/", OAK)
    unknown = api.post("/api/feedback/", {**OAK, "model": "unknown"})

    assert (private.status_code, unknown.status_code) == (401, 401)
    assert private.json() == unknown.json()


def test_a_private_model_asks_for_the_scope(client_with: KeyMaker) -> None:
    make_model(public=False)

    assert client_with("read").post("/api/feedback/", OAK).status_code == 403
    assert client_with("feedback").post("/api/feedback/", OAK).status_code == 201


def test_a_wrong_key_is_told_so_on_public_models_too(api: APIClient) -> None:
    make_model()
    api.credentials(HTTP_AUTHORIZATION="Bearer wrong.key")

    assert api.post("/api/feedback/", OAK).status_code == 401
    assert not Feedback.objects.exists()


@pytest.mark.parametrize(
    ("body", "attr"),
    [
        ({"model": "leaves", "features": LONG}, "value"),
        ({**OAK, "value": None}, "value"),
        ({**OAK, "value": 1.5}, "value"),
        ({**OAK, "prediction": "not-an-id"}, "prediction"),
        ({**OAK, "features": {"length": "9"}}, "features.length"),
        ({**OAK, "valeu": "oak"}, "valeu"),
        ({"value": "oak"}, "prediction"),
        ({"value": "oak", "prediction": 1}, "prediction"),
        ({"value": "oak", "features": LONG}, "model"),
        ("oak", None),
    ],
)
def test_what_is_wrong_is_named(api: APIClient, body: object, attr: str | None) -> None:
    make_model()

    answer = api.post("/api/feedback/", body)

    assert answer.status_code == 400
    assert attr in {error["attr"] for error in answer.json()["errors"]} or attr is None
    assert not Feedback.objects.exists()


def test_a_list_is_answered_item_by_item_in_order(api: APIClient) -> None:
    make_model()
    bad = {"features": LONG, "value": "oak", "modle": "leaves"}

    answer = api.post(
        "/api/feedback/", [OAK, bad, {"prediction": uuid4(), "value": "oak"}, {**OAK, "value": []}]
    )

    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [(result["index"], result["code"]) for result in results] == [
        (0, 201), (1, 400), (2, 404), (3, 400),
    ]  # fmt: skip
    assert results[0]["status"] == "accepted"
    assert results[1]["errors"][0]["attr"] == "modle"
    assert results[3]["errors"][0]["attr"] == "value"
    assert Feedback.objects.count() == 1


def test_an_empty_list_is_a_list(api: APIClient) -> None:
    assert api.post("/api/feedback/", []).json() == {"results": []}


def test_ten_thousand_items_are_taken_and_one_more_is_too_many(api: APIClient) -> None:
    make_model()

    answer = api.post("/api/feedback/", [{**OAK, "features": {"length": 1, "width": 1}}] * 10_001)

    assert answer.status_code == 413
    assert answer.json()["errors"][0]["code"] == "too_many_items"
    assert not Feedback.objects.exists()
    answer = api.post("/api/feedback/", [OAK] * 10_000)
    assert {result["code"] for result in answer.json()["results"]} == {201}
    assert Feedback.objects.count() == 10_000


def test_clients_see_their_own_feedback_and_readers_see_all(client_with: KeyMaker) -> None:
    model = make_model()
    client, other = client_with("feedback"), client_with("feedback")
    mine = client.post("/api/feedback/", OAK).json()["id"]
    theirs = other.post("/api/feedback/", OAK).json()["id"]
    visitors = str(make_feedback(model).pk)

    assert ids(client.get("/api/feedback/")) == [mine]
    assert ids(client_with("read").get("/api/feedback/")) == [visitors, theirs, mine]


def test_visitors_see_no_feedback(api: APIClient) -> None:
    assert api.get("/api/feedback/").status_code == 401


def test_feedback_is_filtered_by_model_status_and_time(client_with: KeyMaker) -> None:
    reader = client_with("read")
    old = make_feedback(make_model(), at="2026-01-01T00:00Z", status="pending")
    new = make_feedback(make_model("other"), at="2026-03-01T00:00Z")

    assert ids(reader.get("/api/feedback/?model=leaves")) == [str(old.pk)]
    assert ids(reader.get("/api/feedback/?status=accepted")) == [str(new.pk)]
    assert ids(reader.get("/api/feedback/?since=2026-02-01T00:00:00Z")) == [str(new.pk)]


@pytest.mark.parametrize("query", ["status=unheard", "since=yesterday"])
def test_filters_that_mean_nothing_are_refused(client_with: KeyMaker, query: str) -> None:
    answer = client_with("read").get(f"/api/feedback/?{query}")

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["attr"] == query.split("=", maxsplit=1)[0]


def ids(answer: Any) -> list[str]:
    return [item["id"] for item in answer.json()["results"]]
