from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from feedback_app.models import Feedback, FeedbackReview
from tests.factories import make_champion, make_model
from tests.feedback_app.makers import make_feedback, make_prediction
from tests.staff import page_of

pytestmark = pytest.mark.django_db

LIST = reverse("admin:feedback_app_feedback_changelist")


@pytest.fixture
def word() -> Feedback:
    version = make_champion()
    return make_feedback(
        version.registered_model, prediction=make_prediction(version), status="quarantined",
        value="elm", reasons=["confident_disagreement"], comment="<b>sure</b>",
    )  # fmt: skip


def test_the_inbox_shows_what_waits_for_a_person(viewer: Client) -> None:
    model = make_model()
    words = {status: make_feedback(model, status=status) for status in Feedback.Status}

    page = viewer.get(f"{LIST}?inbox=waiting").text

    shown = {status for status, word in words.items() if str(word.pk) in page}
    assert shown == {"pending", "quarantined"}


@pytest.mark.parametrize(("button", "status"), [("accept", "accepted"), ("reject", "rejected")])
def test_a_manager_decides_on_one_after_being_shown_it(
    manager: Client, word: Feedback, button: str, status: str
) -> None:
    assert page_of(word, button) in manager.get(page_of(word)).text
    shown = manager.get(page_of(word, button)).text
    assert "oak had been answered" in shown
    assert "&lt;b&gt;sure&lt;/b&gt;" in shown

    page = manager.post(page_of(word, button), {"reason": "I was there"}, follow=True).text

    word.refresh_from_db()
    assert word.status == status
    assert f"{word.pk} is {status}" in page
    assert "I was there" in page  # among the decisions
    assert FeedbackReview.objects.get().reviewer.username == "max"


def test_no_decision_goes_without_its_reason(manager: Client, word: Feedback) -> None:
    assert manager.post(page_of(word, "accept"), {"reason": ""}).status_code == 400

    word.refresh_from_db()
    assert word.status == "quarantined"


def test_a_corrected_value_is_another_word_whose_page_is_shown(
    manager: Client, word: Feedback
) -> None:
    answer = manager.post(
        page_of(word, "accept"), {"reason": "a typo", "value": "oak"}, follow=True
    )

    corrected = Feedback.objects.get(status="accepted")
    assert answer.redirect_chain[-1][0] == page_of(corrected)
    word.refresh_from_db()
    assert (corrected.value, word.superseded_by) == ("oak", corrected)
    assert page_of(word, "accept") not in manager.get(page_of(word)).text
    refused = manager.post(page_of(word, "accept"), {"reason": "again"})
    assert refused.status_code == 400
    assert "a later word took its place" in refused.text


@pytest.mark.parametrize(("value", "stored"), [("3.25", 3.25), ("three", None)])
def test_where_numbers_are_answered_the_correction_is_a_number(
    manager: Client, value: str, stored: float | None
) -> None:
    word = make_feedback(make_model(task="regression"), status="pending", value=2.5)

    answer = manager.post(page_of(word, "accept"), {"reason": "x", "value": value})

    assert answer.status_code == (400 if stored is None else 302)
    values = Feedback.objects.filter(status="accepted").values_list("value", flat=True)
    assert list(values) == ([] if stored is None else [stored])


def selected(words: list[Feedback], action: str, **more: Any) -> dict[str, Any]:
    return {"action": action, "_selected_action": [str(word.pk) for word in words], **more}


@pytest.mark.parametrize(
    ("action", "status"), [("accept_selected", "accepted"), ("reject_selected", "rejected")]
)
def test_many_are_decided_on_at_once_with_one_reason(
    manager: Client, action: str, status: str
) -> None:
    model = make_model()
    words = [make_feedback(model, status="pending", comment=f"no. {n}") for n in range(3)]
    other = make_feedback(model, status="pending")

    asked = manager.post(LIST, selected(words, action))
    assert "no. 2" in asked.text
    assert not FeedbackReview.objects.exists()
    assert manager.post(LIST, selected(words, action, reason="")).status_code == 400
    manager.post(LIST, selected(words, action, reason="read them all"))

    assert Feedback.objects.filter(status=status).count() == 3
    assert {line.reason for line in FeedbackReview.objects.all()} == {"read them all"}
    other.refresh_from_db()
    assert other.status == "pending"


def test_a_viewer_has_no_button_and_is_refused(viewer: Client, word: Feedback) -> None:
    assert page_of(word, "accept") not in viewer.get(page_of(word)).text
    assert "accept_selected" not in viewer.get(LIST).text
    assert viewer.post(page_of(word, "accept"), {"reason": "x"}).status_code == 403
    viewer.post(LIST, selected([word], "accept_selected", reason="x"))

    word.refresh_from_db()
    assert word.status == "quarantined"


def test_a_word_that_is_not_there_is_not_found(manager: Client) -> None:
    for pk in ("0", str(uuid.uuid4())):
        path = reverse("admin:feedback_app_feedback_accept", args=[pk])
        assert manager.get(path).status_code == 404
