"""Data that nothing can be learnt from (H6), and the same data twice (T10)."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import pytest
from django.conf import settings
from django.utils import timezone

from feedback_app import retraining, triggering
from feedback_app.attempts import carry_out
from feedback_app.models import Feedback, RetrainingRun
from models_app.learning.schema import Feature, Schema
from models_app.models import RegisteredModel
from tests.factories import leaves, make_champion, make_model
from tests.feedback_app.makers import BEYOND_MLFLOWS, make_feedback, make_run

Status = RetrainingRun.Status

pytestmark = pytest.mark.django_db


def carried_out(model: RegisteredModel, **fields: object) -> RetrainingRun:
    run = retraining.claim(make_run(model, **fields).pk)
    assert run
    carry_out(run, run.attempts)
    return RetrainingRun.objects.get(pk=run.pk)


def written(content: bytes) -> str:
    path = settings.EVERLEARN_HOME / "bad.csv"
    path.write_bytes(content)
    return str(path)


def csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


CHANGED = {
    "label column missing": (csv(leaves().drop(columns="kind")), "the target 'kind' is missing"),
    "a feature missing": (csv(leaves().drop(columns="length")), "column 'length' is missing"),
    "a column more": (csv(leaves().assign(colour="green")), "column 'colour' is new"),
    "values under another heading": (
        csv(leaves().rename(columns={"kind": "length", "length": "kind"})),
        "column 'length' was number and holds category",
    ),
    "all columns changed": (
        csv(leaves().assign(width="wide", colour=1).drop(columns=["length", "kind"])),
        "holds category, as 'wide' in row 0 (120 of 120 cells); the target 'kind' is missing;",
    ),
}  # fmt: skip
BAD = {
    "mixed encodings": (csv(leaves()) + "5,5,ölm\n".encode("latin-1"), "UTF-8"),
    "all one class": (csv(leaves().assign(kind="oak")), "oak"),
    "three rows": (csv(leaves(3)), "rows"),
    "constant features": (csv(leaves().assign(length=1.0, width=2.0)), "nothing tells"),
    "no rows": (b"length,width,kind\n", "no rows"),
    "no table": (b"\x00\x01\x02", "bad.csv"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("code", "content", "named"),
    [
        *(pytest.param("schema_changed", *one, id=name) for name, one in CHANGED.items()),
        *(pytest.param("data_refused", *one, id=name) for name, one in BAD.items()),
    ],
)
def test_bad_data_ends_the_run_with_one_line_and_the_champion_stays(
    code: str, content: bytes, named: str
) -> None:
    model = make_model(retrain={"feedback": 1})
    champion = make_champion(model, number=BEYOND_MLFLOWS)
    make_feedback(model)

    run = carried_out(model, data=written(content), trigger=RetrainingRun.Trigger.FEEDBACK)

    assert (run.status, run.attempts) == (Status.FAILED, 1)
    assert run.error.startswith(f"{code}: ")
    assert named in run.error
    assert "\n" not in run.error
    model.refresh_from_db()
    assert model.champion == champion
    # No storm of new tries: what failed cools down like what did not.
    assert triggering.request_due_runs() == []


def test_shuffled_columns_are_found_by_name() -> None:
    run = carried_out(make_model(), data=written(csv(leaves()[["kind", "width", "length"]])))

    assert run.status == Status.SUCCEEDED


def test_words_that_became_numbers_are_a_change_once_there_were_words() -> None:
    words = Feature("kind", "category"), Feature("width", "number")
    model = make_model(
        data=written(csv(leaves())), target="length", task="regression",
        metric="neg_root_mean_squared_error", estimator="ridge",
        features=Schema(words).to_json(),
    )  # fmt: skip
    assert carried_out(model).status != Status.FAILED

    run = carried_out(model, data=written(csv(leaves().assign(kind=7))))

    assert "column 'kind' was category and holds numbers. " in run.error


def test_feedback_that_comes_and_goes_while_a_run_trains_does_not_change_what_it_trains_on() -> (
    None
):
    model = make_model()
    words = [
        make_feedback(model, features={"length": 20.0 + n, "width": 1.0}, value="oak")
        for n in range(4)
    ]
    Feedback.objects.update(at=timezone.now() - timedelta(hours=1))
    first = carried_out(model)
    assert first.snapshot
    assert first.version

    # Another attempt at the very same run, after feedback came and was turned away.
    make_feedback(model, features={"length": 30.0, "width": 1.0}, value="elm")
    Feedback.objects.filter(pk=words[0].pk).update(status="rejected")
    RetrainingRun.objects.update(
        status=Status.RUNNING, version=None, verdict="", ended_at=None,
        leased_until=timezone.now() - timedelta(seconds=1),
    )  # fmt: skip
    again = retraining.claim(first.pk)
    assert again
    carry_out(again, again.attempts)

    again.refresh_from_db()
    assert again.snapshot == first.snapshot
    assert again.version
    assert again.version.metrics == first.version.metrics
    assert again.version.bundle_digest == first.version.bundle_digest


def test_the_same_rows_give_the_same_snapshot_and_the_same_metrics() -> None:
    model = make_model(estimator="random-forest")

    # Without a champion none of the rows is held out, so both freeze the same.
    first = carried_out(model)
    RegisteredModel.objects.update(champion=None)
    second = carried_out(model)

    assert first.snapshot
    assert second.snapshot
    assert second.snapshot.digest == first.snapshot.digest
    assert first.version
    assert second.version
    assert first.version != second.version
    assert second.version.metrics == first.version.metrics
