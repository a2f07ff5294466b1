"""A2: what belongs to another client looks as if it were not there, to the last byte."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from rest_framework.test import APIClient

from feedback_app.models import Feedback
from models_app.models import Prediction
from tests.everlearn.routes import client_as, staff_member
from tests.factories import LONG, make_champion, make_model
from tests.feedback_app.makers import make_feedback, make_prediction

pytestmark = pytest.mark.django_db

ONE_MORE = 1


@pytest.fixture(params=[True, False], ids=["public", "private"])
def theirs(request: pytest.FixtureRequest) -> Prediction:
    """What another client asked, of a public model and of a private one."""
    version = make_champion(make_model(public=request.param))
    owner = client_as("a client")
    answer = owner.post("/api/models/leaves/predict/", {"instances": [LONG]})
    assert answer.status_code == 200
    prediction = Prediction.objects.get(pk=answer.json()["predictions"][0]["id"])
    make_feedback(version.registered_model, prediction=prediction, given_by=prediction.client)
    return prediction


def _guesses(theirs: Prediction) -> dict[str, UUID]:
    return {
        "another client's": theirs.pk,
        "the next in order": UUID(int=theirs.pk.int + ONE_MORE),
        "one at random": uuid4(),
    }


def _asked(client: APIClient, pk: UUID) -> list[Any]:
    word = {"prediction": str(pk), "value": "oak"}
    return [
        client.get(f"/api/predictions/{pk}/"),
        client.post("/api/feedback/", word),
        client.post("/feedback", word),
        client.post("/api/feedback/", word, headers={"Idempotency-Key": str(uuid4())}),
    ]


def test_another_clients_prediction_is_not_there(theirs: Prediction) -> None:
    stranger = client_as("a client")
    answers = {name: _asked(stranger, pk) for name, pk in _guesses(theirs).items()}

    for asked in zip(*answers.values(), strict=True):
        assert {answer.status_code for answer in asked} == {404}
        assert len({answer.content for answer in asked}) == 1
        assert asked[0].json()["errors"][0]["code"] == "not_found"
    assert Feedback.objects.count() == 1


def test_in_a_list_neither(theirs: Prediction) -> None:
    stranger = client_as("a client")
    words = [{"prediction": str(pk), "value": "oak"} for pk in _guesses(theirs).values()]

    results = stranger.post("/api/feedback/", words).json()["results"]

    told = [{key: value for key, value in one.items() if key != "index"} for one in results]
    assert [one["code"] for one in told] == [404, 404, 404]
    assert told[0] == told[1] == told[2]
    assert Feedback.objects.count() == 1


def test_another_clients_feedback_is_not_listed(theirs: Prediction) -> None:
    stranger = client_as("a client")

    for query in ("", "?model=leaves", "?status=accepted"):
        assert stranger.get(f"/api/feedback/{query}").json()["results"] == []


def test_without_a_key_what_is_there_and_what_is_not_look_the_same(theirs: Prediction) -> None:
    stranger = APIClient()
    answers = [stranger.get(f"/api/predictions/{pk}/") for pk in _guesses(theirs).values()]

    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1


def test_who_may_read_everything_and_give_no_feedback_judges_nothing_of_others(
    theirs: Prediction,
) -> None:
    viewer = APIClient()
    viewer.force_login(staff_member("viewer"))
    word = {"prediction": str(theirs.pk), "value": "oak"}

    for reader in (viewer, client_as("key:read,predict")):
        assert reader.get(f"/api/predictions/{theirs.pk}/").status_code == 200
        assert reader.post("/api/feedback/", word).status_code == 403
    assert client_as("manager").post("/api/feedback/", word).status_code == 201


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("source", "user:boss"),
        ("weight", 99),
        ("quarantined", False),
        ("status", "accepted"),
        ("client", 1),
        ("given_by", 1),
        ("created_at", "2020-01-01T00:00:00Z"),
        ("split", "golden"),
        ("id", "01890a5d-ac96-774b-bcce-b302099a8057"),
    ],
)
def test_a_member_that_feedback_does_not_have_stores_nothing(name: str, value: object) -> None:
    """A7."""
    prediction = make_prediction(make_champion())
    word = {"prediction": str(prediction.pk), "value": "oak", name: value}
    client = client_as("a client")

    for path in ("/api/feedback/", "/feedback"):
        answer = client.post(path, word)
        assert answer.status_code == 400
        error = answer.json()["errors"][0]
        assert (error["code"], error["attr"]) == ("unknown_field", name)
        listed = client.post(path, [word]).json()["results"][0]
        assert (listed["code"], listed["errors"][0]["code"]) == (400, "unknown_field")
    assert not Feedback.objects.exists()
