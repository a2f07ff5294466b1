from __future__ import annotations

import secrets

import pytest

from feedback_app import golden, intake
from feedback_app.intake import Speaker, Word
from feedback_app.models import Feedback
from models_app.learning.rows import digest_instance
from models_app.models import RegisteredModel
from tests.factories import LONG, make_champion, make_model, make_user
from tests.feedback_app.makers import make_prediction

pytestmark = pytest.mark.django_db

PASSER_BY = Speaker(None, "192.0.2.1")


def given(value: str, model: RegisteredModel, speaker: Speaker = PASSER_BY) -> Feedback:
    prediction = make_prediction(model.versions.get())
    return intake.record(Word(value, prediction=prediction.pk), speaker=speaker)


def served(**feedback: str) -> RegisteredModel:
    return make_champion(make_model(feedback=feedback)).registered_model


def test_agreement_with_the_champion_is_accepted() -> None:
    feedback = given("oak", served())

    assert (feedback.status, feedback.reasons) == ("accepted", [])


def test_contradicting_a_confident_champion_is_quarantined() -> None:
    feedback = given("elm", served())

    assert (feedback.status, feedback.reasons) == ("quarantined", ["confident_disagreement"])


def test_contradicting_a_doubtful_champion_is_accepted() -> None:
    model = served()
    prediction = make_prediction(model.versions.get(), probabilities={"elm": 0.3, "oak": 0.7})

    feedback = intake.record(Word("elm", prediction=prediction.pk), speaker=PASSER_BY)

    assert feedback.status == "accepted"


@pytest.mark.parametrize(("value", "status"), [("oak", "accepted"), ("elm", "quarantined")])
def test_features_of_ones_own_are_held_against_the_champions_opinion(
    value: str, status: str
) -> None:
    served()

    feedback = intake.record(Word(value, model="leaves", features=LONG), speaker=PASSER_BY)

    assert feedback.status == status


def test_whoever_may_review_needs_no_review() -> None:
    reviewer = Speaker(make_user("reviewer", groups=("manager",)))

    assert given("elm", served(), reviewer).status == "accepted"


def test_a_class_that_was_never_seen_waits_for_a_person() -> None:
    reviewer = Speaker(make_user("reviewer", is_superuser=True))

    feedback = given("beech", served(review="none"), reviewer)

    assert (feedback.status, feedback.reasons) == ("pending", ["new_class"])


def test_with_review_all_everything_waits_for_a_person() -> None:
    feedback = given("oak", served(review="all"))

    assert (feedback.status, feedback.reasons) == ("pending", ["review_all"])


def test_with_review_none_nothing_suspicious_waits() -> None:
    assert given("elm", served(review="none")).status == "accepted"


@pytest.mark.parametrize(("value", "status"), [("oak", "quarantined"), ("elm", "accepted")])
def test_contradicting_a_golden_row_is_quarantined(value: str, status: str) -> None:
    known = golden.Golden(
        "kind", answers={digest_instance(LONG): "elm"}, table=secrets.token_hex(32)
    )
    golden.keep(make_model(), known)

    feedback = intake.record(Word(value, model="leaves", features=LONG), speaker=PASSER_BY)

    assert feedback.status == status
    assert feedback.reasons == (["golden_row"] if status == "quarantined" else [])
