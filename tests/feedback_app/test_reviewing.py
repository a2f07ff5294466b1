from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.utils import timezone

from feedback_app import intake, reviewing, snapshots, triggering
from feedback_app.intake import Speaker, Word
from feedback_app.models import Feedback, FeedbackReview
from models_app.models import Prediction
from models_app.refusals import Conflict, InvalidInput
from tests.factories import leaves, make_champion, make_model, make_user
from tests.feedback_app.makers import make_feedback, make_prediction, make_run

pytestmark = pytest.mark.django_db

PASSER_BY = Speaker(None, "192.0.2.1")


def make_reviewer(username: str = "rita") -> User:
    user = make_user(username)
    user.user_permissions.set(Permission.objects.filter(codename="review_feedback"))
    return user


def quarantined(prediction: Prediction | None = None) -> Feedback:
    """Somebody doubts an answer of which the champion was sure."""
    prediction = prediction or make_prediction(make_champion())
    return intake.record(Word("elm", prediction=prediction.pk), speaker=PASSER_BY)


def review(word: Feedback, decision: Any = "accept", **more: Any) -> Feedback:
    reviewer = more.pop("actor", None) or User.objects.filter(username="rita").first()
    return reviewing.review(
        word, actor=reviewer or make_reviewer(), decision=decision,
        reason=more.pop("reason", "I was there"), **more,
    )  # fmt: skip


@pytest.mark.parametrize(("decision", "status"), [("accept", "accepted"), ("reject", "rejected")])
def test_a_decision_is_kept_with_who_took_it_and_why(decision: str, status: str) -> None:
    word = quarantined()

    assert review(word, decision) == word

    word.refresh_from_db()
    line = FeedbackReview.objects.get()
    assert (word.status, word.reasons) == (status, ["confident_disagreement"])
    assert (line.feedback, line.stands, line.decision) == (word, word, decision)
    assert (line.previous_status, line.reviewer.username) == ("quarantined", "rita")
    assert line.reason == "I was there"


def test_whoever_may_not_review_changes_nothing() -> None:
    word = quarantined()

    with pytest.raises(PermissionDenied):
        review(word, actor=make_user())

    word.refresh_from_db()
    assert word.status == "quarantined"
    assert not FeedbackReview.objects.exists()


def test_a_corrected_value_takes_the_place_of_the_word_and_leaves_it_as_it_was() -> None:
    word = quarantined()

    corrected = review(word, value="oak")

    word.refresh_from_db()
    assert (word.status, word.value, word.superseded_by) == ("superseded", "elm", corrected)
    assert (corrected.status, corrected.value) == ("accepted", "oak")
    assert (corrected.source, corrected.prediction) == (word.source, word.prediction)
    line = FeedbackReview.objects.get()
    assert (line.feedback, line.stands) == (word, corrected)


def test_a_corrected_value_that_says_the_same_corrects_nothing() -> None:
    word = quarantined()

    assert review(word, value="elm") == word
    assert Feedback.objects.get().status == "accepted"


@pytest.mark.parametrize(
    ("decision", "value"), [("accept", 1.5), ("accept", ""), ("reject", "oak")]
)
def test_what_is_no_answer_or_is_rejected_cannot_be_corrected(decision: str, value: Any) -> None:
    word = quarantined()

    with pytest.raises(InvalidInput) as refusal:
        review(word, decision, value=value)

    assert refusal.value.attr == "value"
    assert Feedback.objects.get().status == "quarantined"


def test_a_mind_can_be_changed_and_every_decision_stays() -> None:
    word = quarantined()

    review(word)
    review(word, "reject", reason="I was not")
    review(word, "reject", reason="said already")

    assert Feedback.objects.get().status == "rejected"
    told = FeedbackReview.objects.order_by("pk").values_list("previous_status", "decision")
    assert list(told) == [("quarantined", "accept"), ("accepted", "reject")]


def test_a_word_that_gave_way_to_another_is_decided_on_no_more() -> None:
    prediction = make_prediction(make_champion())
    first = quarantined(prediction)
    intake.record(Word("oak", prediction=prediction.pk), speaker=PASSER_BY)

    with pytest.raises(Conflict) as refusal:
        review(first)

    assert refusal.value.code == "feedback_superseded"
    assert not FeedbackReview.objects.exists()


def test_of_many_one_that_cannot_be_decided_on_stops_all() -> None:
    model = make_model()
    waiting = make_feedback(model, status="pending")
    gone = make_feedback(model, status="superseded")

    with pytest.raises(Conflict):
        reviewing.review_many(
            [waiting, gone], actor=make_reviewer(), decision="accept", reason="all"
        )

    waiting.refresh_from_db()
    assert waiting.status == "pending"


def test_what_is_accepted_late_counts_as_new_to_the_trigger_and_the_next_snapshot() -> None:
    """It was said before the last snapshot, and may train only now."""
    model = make_champion().registered_model
    said = timezone.now() - timedelta(hours=2)
    word = make_feedback(model, status="quarantined", value="elm", at=said)
    newest = snapshots.freeze(model, base=leaves(), up_to=timezone.now())
    started = timezone.now() - timedelta(hours=1)
    make_run(model, status="succeeded", snapshot=newest, started_at=started)
    assert triggering.feedback_since_last_snapshot(model) == 0

    review(word)

    assert triggering.feedback_since_last_snapshot(model) == 1
    before = snapshots.freeze(model, base=leaves(), up_to=timezone.now() - timedelta(minutes=30))
    after = snapshots.freeze(model, base=leaves(), up_to=timezone.now())
    assert (before.feedback_rows, after.feedback_rows) == (0, 1)
    review(word, "reject")
    assert triggering.feedback_since_last_snapshot(model) == 0
    assert snapshots.freeze(model, base=leaves(), up_to=timezone.now()).feedback_rows == 0


def test_a_class_never_seen_may_train_once_a_person_accepted_it() -> None:
    model = make_champion().registered_model
    features = {"length": 2.5, "width": 9.5}
    word = intake.record(Word("yew", model="leaves", features=features), speaker=PASSER_BY)
    assert (word.status, word.reasons[0]) == ("pending", "new_class")
    model.champion = None  # the newest words are held out while another is to be beaten
    model.save()

    review(word)

    frozen = snapshots.freeze(model, base=leaves(), up_to=timezone.now())
    assert "yew" in set(snapshots.load(frozen, champion=None).train["kind"])


def test_the_source_may_speak_again_after_a_correction() -> None:
    prediction = make_prediction(make_champion())
    corrected = review(quarantined(prediction), value="oak")

    again = intake.record(Word("elm", prediction=prediction.pk), speaker=PASSER_BY)

    corrected.refresh_from_db()
    assert (corrected.status, corrected.superseded_by) == ("superseded", again)
    assert again.status == "quarantined"


@pytest.mark.django_db(transaction=True)
def test_two_people_who_decide_at_once_decide_one_after_the_other() -> None:
    word = quarantined()
    reviewers = [make_reviewer("rita"), make_reviewer("rolf")]
    decisions = dict(zip(("accept", "reject"), reviewers, strict=True))

    def decide(decision: str) -> None:
        try:
            review(word, decision, actor=decisions[decision])
        finally:
            connection.close()

    threads = [threading.Thread(target=decide, args=(one,)) for one in decisions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    last, first = FeedbackReview.objects.all()
    assert first.previous_status == "quarantined"
    assert last.previous_status == reviewing.ENDS_AS[first.decision]
    assert Feedback.objects.get().status == reviewing.ENDS_AS[last.decision]
