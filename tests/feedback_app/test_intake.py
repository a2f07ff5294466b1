from __future__ import annotations

import threading
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import PermissionDenied
from django.db import connection

from feedback_app import intake
from feedback_app.intake import Speaker, Word
from feedback_app.models import Feedback
from models_app.models import RegisteredModel
from models_app.refusals import InvalidInput, NotFound, TooMuch
from tests.factories import LONG, make_champion, make_model, make_user
from tests.feedback_app.makers import make_prediction

pytestmark = pytest.mark.django_db

PASSER_BY = Speaker(None, "192.0.2.1")


def make_client(*permissions: str, username: str = "client") -> User:
    user = make_user(username)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def test_a_word_about_a_prediction_keeps_what_was_judged() -> None:
    version = make_champion()
    prediction = make_prediction(version)

    word = Word(value="oak", prediction=prediction.pk, comment="seen it")
    feedback = intake.record(word, speaker=PASSER_BY)

    stored = Feedback.objects.get()
    assert stored == feedback
    assert (stored.features, stored.value, stored.comment) == (LONG, "oak", "seen it")
    assert (stored.source, stored.given_by) == ("address:192.0.2.1", None)
    assert (stored.prediction, stored.status) == (prediction, "accepted")


def test_a_word_about_features_needs_no_prediction() -> None:
    make_model()

    feedback = intake.record(Word("oak", model="leaves", features=LONG), speaker=PASSER_BY)

    assert (feedback.prediction, feedback.features, feedback.status) == (None, LONG, "accepted")


def test_features_are_checked_as_those_of_a_prediction_are() -> None:
    make_model()

    with pytest.raises(InvalidInput) as refusal:
        intake.record(Word("oak", model="leaves", features={"lenght": 1.0}), speaker=PASSER_BY)

    assert ("features.lenght", "unknown_feature") in {
        (problem.attr, problem.code) for problem in refusal.value.problems
    }
    assert not Feedback.objects.exists()


@pytest.mark.parametrize(
    ("value", "stored"), [("2", "2"), (2, "2"), (True, "true"), ("yes", "yes")]
)
def test_classes_are_kept_as_text(value: object, stored: str) -> None:
    make_model()

    assert intake.record(_about_leaves(value), speaker=PASSER_BY).value == stored


@pytest.mark.parametrize("value", [None, "", "x" * 256, 2.5, [], {}, 10**300])
def test_what_is_no_class_is_refused(value: object) -> None:
    make_model()

    with pytest.raises(InvalidInput) as refusal:
        intake.record(_about_leaves(value), speaker=PASSER_BY)

    assert refusal.value.attr == "value"


def test_in_regression_the_answer_is_a_number() -> None:
    make_model(task="regression")

    assert intake.record(_about_leaves(3), speaker=PASSER_BY).value == 3.0


@pytest.mark.parametrize("value", ["3", True, float("nan"), float("inf"), 10**400, None])
def test_what_is_no_finite_number_is_refused_in_regression(value: object) -> None:
    make_model(task="regression")

    with pytest.raises(InvalidInput):
        intake.record(_about_leaves(value), speaker=PASSER_BY)


@pytest.mark.parametrize("word", [Word("oak"), Word("oak", prediction=uuid4(), features=LONG)])
def test_a_word_is_about_a_prediction_or_about_features(word: Word) -> None:
    with pytest.raises(InvalidInput):
        intake.record(word, speaker=PASSER_BY)


def test_a_second_word_of_a_source_supersedes_its_first() -> None:
    prediction = make_prediction(make_champion())
    first = intake.record(Word("oak", prediction=prediction.pk), speaker=PASSER_BY)

    second = intake.record(Word("elm", prediction=prediction.pk), speaker=Speaker(None, "other"))
    third = intake.record(Word("elm", prediction=prediction.pk), speaker=PASSER_BY)

    first.refresh_from_db()
    assert (first.status, first.superseded_by, first.value) == ("superseded", third, "oak")
    assert Feedback.objects.exclude(status="superseded").count() == 2
    assert second.source != third.source


def test_within_a_list_the_last_word_of_a_source_stands() -> None:
    prediction = make_prediction(make_champion())
    words = [Word(value, prediction=prediction.pk) for value in ("oak", "elm", "oak")]

    statuses = [one.status for one in _stored(intake.record_many(words, speaker=PASSER_BY))]

    assert statuses == ["superseded", "superseded", "accepted"]
    assert Feedback.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_of_words_given_at_once_one_stands() -> None:
    prediction = make_prediction(make_champion())

    def speak() -> None:
        intake.record(Word("oak", prediction=prediction.pk), speaker=PASSER_BY)
        connection.close()

    threads = [threading.Thread(target=speak) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Feedback.objects.count() == 6
    assert Feedback.objects.exclude(status="superseded").count() == 1


def test_the_good_of_a_list_are_stored_whatever_the_bad_are() -> None:
    make_model()
    words = [_about_leaves("oak"), Word("oak", prediction=uuid4()), _about_leaves("elm")]

    outcomes = intake.record_many(words, speaker=PASSER_BY)

    assert [type(outcome) for outcome in outcomes] == [Feedback, NotFound, Feedback]
    assert Feedback.objects.count() == 2


def test_a_list_is_looked_up_and_stored_in_a_few_queries(
    django_assert_max_num_queries: Any,
) -> None:
    version = make_champion()
    words = [Word("oak", prediction=make_prediction(version, client=None).pk) for _ in range(300)]

    with django_assert_max_num_queries(15):
        intake.record_many(words, speaker=PASSER_BY)


def test_too_long_a_list_is_refused_whole() -> None:
    make_model()

    with pytest.raises(TooMuch):
        intake.record_many([_about_leaves("oak")] * 10_001, speaker=PASSER_BY)

    assert not Feedback.objects.exists()


def test_an_unknown_prediction_is_not_found() -> None:
    with pytest.raises(NotFound):
        intake.record(Word("oak", prediction=uuid4()), speaker=PASSER_BY)


def test_somebody_elses_prediction_is_as_if_there_were_none() -> None:
    prediction = make_prediction(make_champion(), client=make_client(username="owner"))
    other = make_client("add_feedback")

    with pytest.raises(NotFound):
        intake.record(Word("oak", prediction=prediction.pk), speaker=Speaker(other))


def test_readers_may_judge_anybodys_prediction() -> None:
    prediction = make_prediction(make_champion(), client=make_client(username="owner"))
    reader = make_client("add_feedback", "view_prediction")

    feedback = intake.record(Word("oak", prediction=prediction.pk), speaker=Speaker(reader))
    assert feedback.given_by == reader


def test_private_models_take_feedback_from_those_who_may_give_it() -> None:
    prediction = make_prediction(make_champion(make_model(public=False)))
    about = Word("oak", prediction=prediction.pk)

    with pytest.raises(NotFound):
        intake.record(about, speaker=PASSER_BY)
    with pytest.raises(PermissionDenied):
        intake.record(about, speaker=Speaker(make_client("predict_registeredmodel")))
    allowed = Speaker(make_client("add_feedback", username="allowed"))
    assert intake.record(about, speaker=allowed).given_by == allowed.user


@pytest.mark.parametrize("public", [True, False])
def test_a_retired_model_takes_no_feedback(public: bool) -> None:
    prediction = make_prediction(make_champion(make_model(public=public)))
    RegisteredModel.objects.update(retired_at="2026-01-01T00:00Z")

    with pytest.raises(NotFound):
        intake.record(Word("oak", prediction=prediction.pk), speaker=Speaker(make_user("x")))


def _about_leaves(value: object) -> Word:
    return Word(value, model="leaves", features=LONG)


def _stored(outcomes: list[intake.Outcome]) -> list[Feedback]:
    return [outcome for outcome in outcomes if isinstance(outcome, Feedback)]
