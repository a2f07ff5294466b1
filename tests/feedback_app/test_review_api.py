from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from feedback_app.models import Feedback, FeedbackReview
from tests.conftest import KeyMaker
from tests.factories import make_champion
from tests.feedback_app.makers import make_feedback, make_prediction

pytestmark = pytest.mark.django_db


@pytest.fixture
def word() -> Feedback:
    return make_feedback(make_champion().registered_model, status="quarantined", value="elm")


def path(word: Feedback) -> str:
    return f"/api/feedback/{word.pk}/review/"


def test_a_reviewer_accepts_and_is_shown_the_word(client_with: KeyMaker, word: Feedback) -> None:
    answer = client_with("review").post(path(word), {"decision": "accept", "reason": "seen"})

    assert answer.status_code == 200
    body = answer.json()
    assert (body["id"], body["status"], body["value"]) == (str(word.pk), "accepted", "elm")
    assert FeedbackReview.objects.get().reason == "seen"


def test_a_corrected_value_is_another_word_that_is_shown(
    client_with: KeyMaker, word: Feedback
) -> None:
    answer = client_with("review").post(
        path(word), {"decision": "accept", "value": "oak", "reason": "a typo"}
    )

    body = answer.json()
    assert (answer.status_code, body["status"], body["value"]) == (200, "accepted", "oak")
    word.refresh_from_db()
    assert (word.status, str(word.superseded_by_id)) == ("superseded", body["id"])
    again = client_with("review").post(path(word), {"decision": "accept", "reason": "seen"})
    assert again.status_code == 409
    assert again.json()["errors"][0]["code"] == "feedback_superseded"


def test_a_rejected_word_says_so(client_with: KeyMaker, word: Feedback) -> None:
    answer = client_with("review").post(path(word), {"decision": "reject", "reason": "spam"})

    assert (answer.status_code, answer.json()["status"]) == (200, "rejected")


@pytest.mark.parametrize(
    ("body", "attr", "code"),
    [
        ({"reason": "x"}, "decision", "required"),
        ({"decision": "accept"}, "reason", "required"),
        ({"decision": "accept", "reason": ""}, "reason", "blank"),
        ({"decision": "accept", "reason": "x" * 1001}, "reason", "value_too_long"),
        ({"decision": "maybe", "reason": "x"}, "decision", "invalid_choice"),
        ({"decision": "accept", "reason": "x", "value": None}, "value", "null"),
        ({"decision": "accept", "reason": "x", "value": 0.5}, "value", "invalid_type"),
        ({"decision": "reject", "reason": "x", "value": "oak"}, "value", "unexpected"),
        ({"decision": "accept", "reason": "x", "status": "y"}, "status", "unknown_field"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_decided(
    client_with: KeyMaker, word: Feedback, body: Any, attr: str, code: str
) -> None:
    answer = client_with("review").post(path(word), body)

    assert answer.status_code == 400
    error = answer.json()["errors"][0]
    assert (error["attr"], error["code"]) == (attr, code)
    word.refresh_from_db()
    assert word.status == "quarantined"


def test_only_reviewers_may(api: APIClient, client_with: KeyMaker, word: Feedback) -> None:
    body = {"decision": "accept", "reason": "mine"}

    assert api.post(path(word), body).status_code == 401
    assert client_with("feedback", "read").post(path(word), body).status_code == 403
    word.refresh_from_db()
    assert word.status == "quarantined"


def test_an_unknown_word_is_not_found(client_with: KeyMaker) -> None:
    answer = client_with("review").post(
        f"/api/feedback/{uuid4()}/review/", {"decision": "accept", "reason": "x"}
    )

    assert answer.status_code == 404


def test_a_prediction_shows_its_words_as_they_stand_after_a_correction(
    client_with: KeyMaker, word: Feedback
) -> None:
    word.prediction = make_prediction(make_champion(word.registered_model))
    word.save()
    body = {"decision": "accept", "value": "oak", "reason": "a typo"}
    corrected = client_with("review").post(path(word), body).json()["id"]

    shown = client_with("read").get(f"/api/predictions/{word.prediction.pk}/").json()["feedback"]

    assert [(one["id"], one["status"], one["value"]) for one in shown] == [
        (corrected, "accepted", "oak"),
        (str(word.pk), "superseded", "elm"),
    ]
    assert shown[1]["superseded_by"] == corrected
