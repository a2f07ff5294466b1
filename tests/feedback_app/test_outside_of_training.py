"""S8: no word of feedback, from whomever, makes every later training of a model fail."""

from __future__ import annotations

import secrets
from typing import Any

import pandas as pd
import pytest
from rest_framework.test import APIClient

from feedback_app import golden, snapshots
from feedback_app.models import Feedback
from feedback_app.triggering import feedback_since_last_snapshot
from models_app.learning.rows import digest_instance
from models_app.models import RegisteredModel, TrainingSnapshot
from tests.conftest import KeyMaker
from tests.factories import LONG, make_champion, make_model
from tests.feedback_app.makers import make_feedback, make_prediction
from tests.feedback_app.test_snapshots import freeze
from tests.feedback_app.trained import DIABETES, PASSWORDS, instances_of, make_trained, train

pytestmark = pytest.mark.django_db

PATH = "/api/feedback/"


@pytest.fixture
def model() -> RegisteredModel:
    """Leaves of 0 to 10, which were frozen, so that their bounds are known: -10 to 20."""
    model = make_champion().registered_model
    freeze(model)
    return model


def said(api: APIClient, features: dict[str, Any], value: object = "oak", **more: Any) -> Any:
    return api.post(PATH, {"model": "leaves", "features": features, "value": value, **more})


def outcome(word: Feedback) -> tuple[str, list[str], Any]:
    return word.status, word.reasons, word.reason_details


def test_the_attacks_on_a_regression_leave_its_training_whole(
    api: APIClient, client_with: KeyMaker
) -> None:
    """Largest float, 60 of 1e29, and a number that only the champion finds absurd."""
    model = make_trained("diabetes", of=DIABETES)
    row = instances_of(model)[0]
    body = {"model": "diabetes", "features": row}

    refused = [api.post(PATH, {**body, "value": value}) for value in (1.7e308, -1.7e308, 1e31)]
    poison = [{**body, "features": {**row, "age": n / 1e3}, "value": 1e29} for n in range(60)]
    poison += [{**body, "value": value} for value in (-1e29, 5_000, 660)]
    poisoned = api.post(PATH, poison).json()["results"]
    honest = api.post(PATH, {**body, "value": 150.5}).json()

    assert {answer.status_code for answer in refused} == {400}
    assert refused[0].json()["errors"][0]["attr"] == "value"
    assert {one["status"] for one in poisoned} == {"quarantined"}
    words = {word.value: outcome(word) for word in Feedback.objects.all()}
    assert words[660.0] == ("quarantined", ["large_residual"], None)
    assert words[5_000.0][1:] == (
        ["large_residual", "outside_training_range"], {"outside_training_range": ["value"]},
    )  # fmt: skip
    assert honest["status"] == "accepted"
    run = train(model)
    assert run.error == ""
    assert run.verdict
    assert run.snapshot
    assert run.snapshot.feedback_rows == 1


def test_an_endless_text_is_refused_and_a_long_one_waits(api: APIClient) -> None:
    model = make_trained("passwords", of=PASSWORDS)
    body = {"model": "passwords", "features": {"password": "x" * 10_001}, "value": 1.0}

    endless = api.post(PATH, body)
    asked = api.post("/api/models/passwords/predict/", {"instances": [body["features"]]})
    long = api.post(PATH, {**body, "features": {"password": "x" * 9_999}})
    honest = api.post(PATH, {**body, "features": {"password": "hunter2"}})

    for answer, attr in ((endless, "features.password"), (asked, "instances.0.password")):
        assert answer.status_code == 400
        (error,) = answer.json()["errors"]
        assert (error["code"], error["attr"]) == ("value_too_long", attr)
    assert long.json()["status"] == "quarantined"
    assert honest.json()["status"] == "accepted"
    # What an earlier release let in does no harm either.
    make_feedback(model, features={"password": "x" * 9_000_000}, value=1.0)
    make_feedback(model, features={"password": "letmein"}, value=1.7e308)
    run = train(model)
    assert run.error == ""
    assert run.verdict
    assert run.snapshot
    assert run.snapshot.feedback_rows == 1


@pytest.mark.parametrize(
    ("features", "outside"),
    [
        ({"length": 300.0, "width": 1.0}, ["length"]),
        ({"length": 1e30, "width": -1e30}, ["length", "width"]),
        ({"length": -11, "width": 21}, ["length", "width"]),
        ({"length": 20, "width": -10}, None),
        (LONG, None),
    ],
)
def test_a_value_far_outside_of_the_base_data_waits(
    api: APIClient, model: RegisteredModel, features: dict[str, float], outside: Any
) -> None:
    value = "oak" if features["length"] > 5 else "elm"

    body = said(api, features, value).json()

    word = Feedback.objects.get()
    details = outside and {"outside_training_range": outside}
    assert (word.status == "quarantined", word.reason_details) == (bool(outside), details)
    assert (body["status"], body["reasons"]) == (word.status, [])
    assert feedback_since_last_snapshot(model) == (0 if outside else 1)


def test_a_prediction_that_was_answered_far_outside_waits_too(
    api: APIClient, model: RegisteredModel
) -> None:
    features = {"length": 300.0, "width": 1.0}
    told = api.post("/api/models/leaves/predict/", {"instances": [features]}).json()
    (answer,) = told["predictions"]

    body = api.post(PATH, {"prediction": answer["id"], "value": answer["value"]}).json()

    assert body["status"] == "quarantined"


def test_what_a_reviewer_says_waits_until_a_person_accepts_it(
    client_with: KeyMaker, model: RegisteredModel
) -> None:
    reviewer = client_with("feedback", "review")
    body = said(reviewer, {"length": 300.0, "width": 1.0}).json()

    decided = reviewer.post(f"{PATH}{body['id']}/review/", {"decision": "accept", "reason": "seen"})

    assert (body["status"], body["reasons"]) == ("quarantined", ["outside_training_range"])
    assert body["reason_details"] == {"outside_training_range": ["length"]}
    assert decided.json()["status"] == "accepted"
    assert freeze(model).feedback_rows == 1


def test_no_reviewer_accepts_what_no_version_can_compute_with(client_with: KeyMaker) -> None:
    """Neither as it was stored by an earlier release, nor as a correction."""
    model = make_model(task="regression")
    old = make_feedback(model, value=1.7e308, status="quarantined")
    near = make_feedback(model, value=3.0, status="quarantined")
    reviewer = client_with("feedback", "review")
    accept = {"decision": "accept", "reason": "sure"}

    answers = [
        reviewer.post(f"{PATH}{old.pk}/review/", accept),
        reviewer.post(f"{PATH}{near.pk}/review/", {**accept, "value": -1e31}),
    ]

    for answer in answers:
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["attr"] == "value"
    assert reviewer.post(f"{PATH}{old.pk}/review/", {**accept, "value": 3.5}).status_code == 200


@pytest.mark.parametrize(("length", "status"), [(300.0, "accepted"), (1e29, "quarantined")])
def test_without_review_only_what_would_spoil_a_training_waits(
    api: APIClient, length: float, status: str
) -> None:
    model = make_champion(make_model(feedback={"review": "none"})).registered_model
    freeze(model)

    assert said(api, {"length": length, "width": 1.0}).json()["status"] == status


def test_accepted_feedback_does_not_widen_the_bounds(model: RegisteredModel) -> None:
    before = TrainingSnapshot.objects.get().bounds
    make_feedback(model, features={"length": 20.0, "width": 1.0})

    after = freeze(model)

    assert after.feedback_rows == 1
    assert after.bounds == before


def test_new_base_data_does(api: APIClient, model: RegisteredModel) -> None:
    base = pd.read_csv(model.data)
    freeze(model, base.assign(length=base["length"] * 100))

    assert said(api, {"length": 1500.0, "width": 1.0}).json()["status"] == "accepted"


@pytest.mark.parametrize(("value", "status"), [(9.5, "accepted"), (1e6, "quarantined")])
def test_before_bounds_were_kept_the_golden_rows_bound_an_answer(
    api: APIClient, value: float, status: str
) -> None:
    model = make_model(task="regression", target="size")
    answers = {digest_instance({"length": n, "width": 1.0}): n * 1.0 for n in range(10)}
    golden.keep(model, golden.Golden("size", answers=answers, table=secrets.token_hex(32)))

    assert said(api, LONG, value).json()["status"] == status


@pytest.mark.parametrize(("value", "status"), [(1e14, "accepted"), (1e16, "quarantined")])
def test_while_nothing_is_known_an_answer_is_bounded_all_the_same(
    api: APIClient, value: float, status: str
) -> None:
    make_model(task="regression", target="size")

    assert said(api, LONG, value).json()["status"] == status


@pytest.mark.parametrize(
    ("value", "reasons"),
    [(13.9, []), (8.1, []), (14.1, ["large_residual"]), (7, ["large_residual"])],
)
def test_a_number_is_held_against_what_was_predicted_and_the_usual_error(
    api: APIClient, value: float, reasons: list[str]
) -> None:
    """Six times an error of 0.5."""
    model = make_model(task="regression")
    metrics = {"neg_root_mean_squared_error": -0.5}
    version = make_champion(model, classes=[], metrics=metrics)
    prediction = make_prediction(version, value=11.0, probabilities=None)

    api.post(PATH, {"prediction": prediction.pk, "value": value})

    assert Feedback.objects.get().reasons == reasons


@pytest.mark.parametrize(("value", "status"), [(11.05, "accepted"), (12.5, "quarantined")])
def test_a_champion_that_hardly_errs_is_no_reason_to_doubt_small_differences(
    api: APIClient, value: float, status: str
) -> None:
    model = make_model(task="regression", target="size")
    answers = {digest_instance({"length": n, "width": 1.0}): n * 1.0 for n in range(101)}
    golden.keep(model, golden.Golden("size", answers=answers, table=secrets.token_hex(32)))
    metrics = {"neg_root_mean_squared_error": -1e-9}
    version = make_champion(model, classes=[], metrics=metrics)
    prediction = make_prediction(
        version, value=11.0, probabilities=None, input={"length": 1.0, "width": 1.0}
    )

    body = api.post(PATH, {"prediction": prediction.pk, "value": value}).json()

    assert body["status"] == status


def test_golden_feedback_counts_for_no_retraining(api: APIClient, model: RegisteredModel) -> None:
    """It trains no version, so that it must not ask for one."""
    chosen = snapshots.load(TrainingSnapshot.objects.get(), champion=None).unseen.iloc[0]
    features = {"length": float(chosen["length"]), "width": float(chosen["width"])}

    body = said(api, features, chosen["kind"]).json()

    assert body["status"] == "accepted"
    assert feedback_since_last_snapshot(model) == 0
