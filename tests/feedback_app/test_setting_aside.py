"""Feedback that makes a training fail costs that feedback its place, and nobody else's run."""

from __future__ import annotations

from typing import Any

import pytest

from feedback_app import retraining, setting_aside
from feedback_app.attempt import Attempt, LeaseLost
from feedback_app.attempts import carry_out
from feedback_app.models import Feedback, RetrainingRun
from models_app.models import RegisteredModel
from tests.conftest import KeyMaker
from tests.factories import leaves, make_model
from tests.feedback_app.makers import make_feedback, make_run, make_running

Status = RetrainingRun.Status

pytestmark = pytest.mark.django_db


def fragile(**fields: Any) -> RegisteredModel:
    """A model whose training fails on negative numbers."""
    return make_model(estimator="tests.estimators.counting", **fields)


def trained(model: RegisteredModel) -> RetrainingRun:
    run = retraining.claim(make_run(model).pk)
    assert run
    carry_out(run, run.attempts)
    return RetrainingRun.objects.get(pk=run.pk)


def good(model: RegisteredModel, count: int, source: str = "user:good") -> list[Feedback]:
    return [
        make_feedback(model, features={"length": 20.0 + n, "width": 1.0}, source=source)
        for n in range(count)
    ]


def poison(model: RegisteredModel, source: str = "address:203.0.113.7") -> Feedback:
    return make_feedback(model, features={"length": -1.0, "width": 1.0}, source=source)


def test_a_run_that_new_feedback_breaks_works_without_it_and_names_the_sources() -> None:
    model = fragile()
    old = good(model, 3)
    trained(model)
    poisoned, new = poison(model), good(model, 2, "user:new")

    run = trained(model)

    assert run.version
    assert (run.status, run.attempts) == (Status.REJECTED, 1)
    assert run.error.startswith("Trained without 3 rows of feedback, because training with them")
    assert "user:new (2), address:203.0.113.0/24 (1)" in run.error
    assert "Negative values" in run.error
    for word in (poisoned, *new):
        word.refresh_from_db()
        assert (word.status, word.reasons) == ("quarantined", ["broke_training"])
    assert {word.status for word in Feedback.objects.filter(pk__in=[w.pk for w in old])} == {
        "accepted"
    }
    assert set(Feedback.objects.filter(snapshots=run.snapshot)) == set(old)


def test_the_next_run_is_not_broken_by_what_was_set_aside() -> None:
    model = fragile()
    trained(model)
    poison(model)
    trained(model)
    good(model, 2)

    run = trained(model)

    assert run.snapshot
    assert (run.left_out, run.snapshot.feedback_rows) == (None, 2)
    assert "Trained without" not in run.error


def test_the_first_training_of_a_model_is_not_broken_by_feedback_either() -> None:
    model = fragile()
    poison(model)

    run = trained(model)

    assert (run.status, run.verdict) == (Status.SUCCEEDED, "PROMOTE")


def test_the_version_says_which_source_broke_the_training(client_with: KeyMaker) -> None:
    model = fragile()
    poison(model)
    run = trained(model)
    assert run.version

    path = f"/api/models/leaves/versions/{run.version.number}/"
    (source,) = client_with("read").get(path).json()["snapshot"]["sources"]

    assert (source["source"], source["broke_training"]) == ("address:203.0.113.0/24", 1)
    assert (source["kept"], source["weight"]) == (0, 0.0)


def test_feedback_stays_accepted_when_the_training_fails_without_it_too() -> None:
    bad = leaves()
    bad["width"] -= 5.0
    model = fragile()
    path = model.data.replace("leaves.csv", "negative.csv")
    bad.to_csv(path, index=False)
    model.data = path
    model.save()
    word = poison(model)

    run = trained(model)

    word.refresh_from_db()
    assert (run.status, word.status) == (Status.FAILED, "accepted")
    assert run.error.startswith("data_refused: Estimator 'tests.estimators.")
    assert "Negative values in data passed to MultinomialNB" in run.error
    assert run.error.endswith("choose another estimator or metric.")


def test_a_run_that_fails_without_new_feedback_fails_at_once() -> None:
    model = fragile()
    word = poison(model)
    run = make_running(model)
    later = run.started_at
    assert later
    Feedback.objects.filter(pk=word.pk).update(accepted_at=later.replace(year=later.year + 1))

    assert not setting_aside.leave_out_newest(Attempt(run, 1), "worker_lost: exit status 1")


def test_an_attempt_that_lost_its_lease_sets_nothing_aside() -> None:
    model = fragile()
    word = poison(model)
    run = make_running(model, attempts=2)

    with pytest.raises(LeaseLost):
        setting_aside.leave_out_newest(Attempt(run, 1), "data_refused: no")

    word.refresh_from_db()
    assert word.status == "accepted"


@pytest.mark.parametrize(("attempts", "again"), [(1, True), (2, True), (3, False)])
def test_a_process_that_died_of_rows_is_tried_without_them_within_the_three_attempts(
    attempts: int, again: bool
) -> None:
    model = fragile()
    poison(model)
    run = make_running(model, attempts=attempts)

    done = setting_aside.retry_without_newest(run.pk, attempts, "timeout: stopped after 5 s.")

    run.refresh_from_db()
    assert done == again
    assert (run.status == Status.QUEUED) == again
    assert not again or trained_again(run).status == Status.SUCCEEDED


def trained_again(run: RetrainingRun) -> RetrainingRun:
    claimed = retraining.claim(run.pk)
    assert claimed
    carry_out(claimed, claimed.attempts)
    return RetrainingRun.objects.get(pk=run.pk)
