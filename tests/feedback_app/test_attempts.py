"""Whole attempts, on real rows, with a real MLflow of the tests' own."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from django.conf import settings
from django.utils import timezone

from feedback_app import retraining
from feedback_app.attempt import Attempt, LeaseLost
from feedback_app.attempts import carry_out
from feedback_app.models import Feedback, RetrainingRun
from models_app import promotion
from models_app.learning.tables import infer_schema
from models_app.models import Deployment, ModelVersion, RegisteredModel
from tests.factories import leaves, make_champion, make_model, make_user
from tests.feedback_app.makers import BEYOND_MLFLOWS, make_feedback, make_run, make_running

Status = RetrainingRun.Status

pytestmark = pytest.mark.django_db


def start(model: RegisteredModel, **fields: object) -> RetrainingRun:
    run = retraining.claim(make_run(model, **fields).pk)
    assert run
    return run


def finish(run: RetrainingRun) -> RetrainingRun:
    carry_out(run, run.attempts)
    return RetrainingRun.objects.get(pk=run.pk)


def stored(frame: pd.DataFrame, name: str) -> str:
    path = settings.EVERLEARN_HOME / name
    frame.to_csv(path, index=False)
    return str(path)


def test_the_first_version_of_a_model_is_trained_judged_and_promoted() -> None:
    model = make_model()

    run = finish(start(model))

    model.refresh_from_db()
    version = model.champion
    assert version
    assert (run.status, run.verdict, run.error) == (Status.SUCCEEDED, "PROMOTE", "")
    assert (run.version, run.snapshot) == (version, version.snapshot)
    assert run.mlflow_run_id == version.mlflow_run_id != ""
    assert version.gate
    assert version.gate["against"] is None
    assert {check["name"] for check in version.gate["checks"]} >= {"beats_constant"}
    line = Deployment.objects.get()
    assert (line.door, line.actor.username, line.version) == ("policy", "everlearn", version)


def test_a_version_that_is_no_better_is_rejected_and_the_champion_stays() -> None:
    model = make_model()
    finish(start(model))
    champion = RegisteredModel.objects.get().champion

    run = finish(start(model))

    assert (run.status, run.verdict) == (Status.REJECTED, "REJECT")
    assert run.version
    assert run.version.status == ModelVersion.Status.REJECTED
    assert run.version.gate
    assert champion
    assert run.version.gate["against"] == champion.number
    assert RegisteredModel.objects.get().champion == champion


@pytest.mark.parametrize(
    ("fields", "promotion", "door"),
    [({}, {}, None), ({}, {"mode": "auto"}, "policy"), ({"promote": True}, {}, "cli")],
)
def test_a_better_version_waits_unless_somebody_wants_it_promoted(
    fields: dict[str, object], promotion: dict[str, str], door: str | None
) -> None:
    model = make_model(promotion=promotion)
    make_champion(model, turned=True, number=BEYOND_MLFLOWS)

    run = finish(start(model, **fields))

    assert (run.status, run.verdict, run.error) == (Status.SUCCEEDED, "PROMOTE", "")
    newest = Deployment.objects.latest("generation")
    assert (newest.version == run.version) == (door is not None)
    assert newest.door == (door or "cli")


@pytest.mark.parametrize("mode", ["manual", "auto"])
def test_what_only_feedback_says_is_better_waits_for_a_person(mode: str) -> None:
    # All over the world oaks have become short; only feedback says so.
    model = make_model(promotion={"mode": mode}, estimator="random-forest")
    finish(start(model))
    shrunk = leaves(200, seed=1)
    shrunk["length"] += 20
    shrunk["kind"] = np.where(shrunk["length"] > 25, "elm", "oak")
    at = timezone.now() - timedelta(hours=1)
    Feedback.objects.bulk_create(
        Feedback(
            registered_model=model, features={"length": row.length, "width": row.width},
            value=row.kind, status="accepted", source=f"user:{index % 10}",
            at=at + timedelta(seconds=index), accepted_at=at + timedelta(seconds=index),
        )
        for index, row in enumerate(shrunk.itertuples())
    )  # fmt: skip

    run = finish(start(model))

    assert (run.status, run.verdict, run.error) == (Status.HELD, "HOLD", "")
    assert run.snapshot
    assert run.snapshot.feedback_rows == 200
    version = run.version
    assert version
    assert version.gate
    failed = {check["name"] for check in version.gate["checks"] if not check["passed"]}
    assert failed == {"probes"} | ({"golden_margin"} if mode == "auto" else set())
    assert RegisteredModel.objects.get().champion != version
    manager = make_user("eve", groups=("manager",))
    promotion.promote(version, actor=manager, door=Deployment.Door.ADMIN, reason="Oaks shrank.")
    assert RegisteredModel.objects.get().champion == version


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ("/nowhere/leaves.csv", "data_refused: leaves.csv: no such file"),
        ("env:DATA_URL", "data_refused: the data is declared as 'env:DATA_URL'"),
    ],
)
def test_data_that_cannot_be_read_ends_the_run_with_one_line(data: str, error: str) -> None:
    run = finish(start(make_model(), data=data))

    assert run.status == Status.FAILED
    assert run.error.startswith(error)
    assert "\n" not in run.error
    assert not ModelVersion.objects.exists()


def test_data_of_another_shape_ends_the_run() -> None:
    other = stored(pd.DataFrame({"a": range(20), "b": range(20)}), "other.csv")

    run = finish(start(make_model(), data=other))

    assert run.status == Status.FAILED
    assert run.error.startswith("schema_changed: ")
    assert "kind" in run.error


def test_an_attempt_goes_on_where_the_one_before_it_was_lost() -> None:
    model = make_model()
    run = finish(start(model))
    RetrainingRun.objects.update(
        status=Status.RUNNING, verdict="", leased_until=timezone.now() - timedelta(seconds=1)
    )
    make_feedback(model, features={"length": 30.0, "width": 1.0})

    again = retraining.claim(run.pk)
    assert again
    again = finish(again)

    # It is compared with what served before it: nothing did.
    assert (again.attempts, again.verdict) == (2, "PROMOTE")
    assert (again.snapshot, again.version) == (run.snapshot, run.version)
    assert ModelVersion.objects.count() == 1


def test_an_attempt_that_lost_its_lease_writes_nothing() -> None:
    run = make_running(make_model(), attempts=2)

    said = carry_out(run, 1)

    run.refresh_from_db()
    assert "lost its lease" in said
    assert (run.status, run.step, run.snapshot, run.error) == (Status.RUNNING, "", None, "")
    assert not Deployment.objects.exists()


def test_a_cancelled_run_stops_at_its_next_step() -> None:
    run = make_running(make_model())
    attempt = Attempt(run, 1)
    attempt.progress("fit", 1, 3)
    RetrainingRun.objects.update(status=Status.CANCELLED)

    with pytest.raises(LeaseLost):
        attempt.progress("fit", 2, 3)

    assert RetrainingRun.objects.get().done == 1


def test_a_declaration_that_gains_a_feature_is_compared_and_one_that_loses_one_is_held() -> None:
    rows = leaves()
    model = make_model(data=stored(rows, "two.csv"))
    finish(start(model))
    more = make_schema_of(model, rows.assign(depth=1.0), "three.csv")

    gained = finish(start(more))
    lost = finish(start(make_schema_of(model, rows.drop(columns="width"), "one.csv")))

    assert gained.version
    assert gained.version.gate
    assert gained.version.gate["rows"] > 0
    assert "comparable" not in {check["name"] for check in gained.version.gate["checks"]}
    assert (lost.status, lost.verdict) == (Status.HELD, "HOLD")
    assert lost.version
    assert lost.version.gate
    assert lost.version.gate["checks"][0] == {
        "name": "comparable", "passed": False, "value": 0.0, "limit": 1.0,
    }  # fmt: skip


def make_schema_of(model: RegisteredModel, rows: pd.DataFrame, name: str) -> RegisteredModel:
    schema = infer_schema(rows, target="kind")
    RegisteredModel.objects.filter(pk=model.pk).update(
        features=schema.to_json(), data=stored(rows, name)
    )
    return RegisteredModel.objects.get(pk=model.pk)
