from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet
import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from feedback_app import golden, registering, snapshots, training_data, training_files
from feedback_app.models import RetrainingRun
from models_app import datasets
from models_app.learning.rows import digest_instance
from models_app.learning.tables import WEIGHT, instances_of
from models_app.models import RegisteredModel, TrainingSnapshot
from tests.factories import leaves, make_champion, make_model
from tests.feedback_app.makers import make_away, make_feedback

# What makes the file is a process of its own, and sees only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)

URL = "/api/models/leaves/training-data/"
ClientWith = Callable[..., APIClient]
UNUSUAL = {"length": 20.5, "width": 20.5}


def content(response: Any) -> bytes:
    assert response.status_code == 200, response.content
    return b"".join(response.streaming_content)


@pytest.fixture
def model() -> RegisteredModel:
    """Its base data is in a file, and no feedback was given yet."""
    return make_model()


def freeze(model: RegisteredModel) -> TrainingSnapshot:
    base = datasets.read_table(model.data)
    return snapshots.freeze(model, base=base, up_to=timezone.now())


def next_snapshot(model: RegisteredModel) -> pd.DataFrame:
    return snapshots.load(freeze(model), champion=None).train


def test_it_holds_the_rows_that_the_next_snapshot_would_train_on(
    model: RegisteredModel, client_with: ClientWith
) -> None:
    make_feedback(model, features=UNUSUAL, value="elm")
    make_feedback(model, features={"length": 30.5, "width": 1.5}, value="elm", status="rejected")

    response = client_with("retrain").get(URL)
    frame = pd.read_parquet(io.BytesIO(content(response)))

    assert response["Content-Type"] == "application/vnd.apache.parquet"
    assert list(frame.columns) == ["length", "width", "kind", WEIGHT]
    assert len(frame[frame["length"] == 20.5]) == 1
    assert not len(frame[frame["length"] == 30.5])
    assert len(frame) < len(leaves())  # the golden rows are kept apart, chosen or not
    model.refresh_from_db()
    assert not model.golden_digest
    assert not TrainingSnapshot.objects.exists()
    pd.testing.assert_frame_equal(frame, next_snapshot(model).reset_index(drop=True))


def test_the_same_as_csv(model: RegisteredModel, client_with: ClientWith) -> None:
    response = client_with("retrain").get(URL, {"format": "csv"})

    frame = pd.read_csv(io.BytesIO(content(response)))
    assert response["Content-Type"].startswith("text/csv")
    assert frame["length"].tolist() == next_snapshot(model)["length"].tolist()


def test_texts_that_look_like_formulas_are_marked_and_numbers_are_not() -> None:
    """W5"""
    frame = pd.DataFrame({"size": [-1.5, 2.0], "note": ["=1+1", None], "@kind": ["-3", "oak"]})

    told = training_files.as_csv(frame).decode().splitlines()

    assert told == ["size,note,'@kind", "-1.5,'=1+1,-3", "2.0,,oak"]


def test_who_may_not_retrain_may_not_have_it(
    model: RegisteredModel, api: APIClient, client_with: ClientWith
) -> None:
    assert api.get(URL).status_code == 401
    assert client_with("read", "predict").get(URL).status_code == 403
    assert client_with("retrain").get("/api/models/roots/training-data/").status_code == 404


def frozen(model: RegisteredModel, **fields: Any) -> RetrainingRun:
    return make_away(model, snapshot=freeze(model), **fields)


def note_in(file: bytes) -> dict[str, Any]:
    metadata = pyarrow.parquet.read_schema(io.BytesIO(file)).metadata
    return dict(json.loads(metadata[b"everlearn"]))


def test_a_workflow_gets_what_its_run_froze_whatever_was_said_since(
    model: RegisteredModel, client_with: ClientWith
) -> None:
    make_champion(model)
    model.refresh_from_db()
    words = [
        make_feedback(model, features={"length": 20.5, "width": float(n)}, value="elm")
        for n in range(10)
    ]
    run = frozen(model)
    assert run.snapshot
    train = snapshots.load(run.snapshot, champion=None).train.reset_index(drop=True)
    make_feedback(model, features=UNUSUAL, value="elm")

    file = content(client_with("retrain").get(URL, {"run": run.pk}))

    frame, note = pd.read_parquet(io.BytesIO(file)), note_in(file)
    pd.testing.assert_frame_equal(frame, train)
    assert (note["run"], note["snapshot_digest"]) == (run.pk, run.snapshot.digest)
    assert note["seed"] == int(run.snapshot.digest[:7], 16)
    # Three of ten are held out for the gate.
    assert note["feedback_rows"] == 7
    assert frame["length"].tail(8).eq(20.5).tolist() == [False, *[True] * 7]
    model.refresh_from_db()
    golden_digests = golden.read(model.golden_digest).answers
    held_out = {digest_instance(word.features) for word in words[7:]}
    assert set(note["never"]) == {*golden_digests, *held_out}
    learnt_from = {digest_instance(one) for one in instances_of(frame, model.schema)}
    assert learnt_from.isdisjoint(note["never"])


def test_a_file_says_what_else_training_depends_on(
    model: RegisteredModel, client_with: ClientWith
) -> None:
    make_feedback(model, features=UNUSUAL, value="elm")

    note = note_in(content(client_with("retrain").get(URL)))

    declared = {name: note[name] for name in ("model", "task", "target", "metric", "estimator")}
    assert declared == {
        "model": "leaves", "task": "classification", "target": "kind",
        "metric": "balanced_accuracy", "estimator": "logistic",
    }  # fmt: skip
    assert (note["schema"], note["recipe"]) == (model.features, model.recipe)
    assert note["installation"] == registering.installation()
    assert note["feedback_rows"] == 1
    assert note["seed"] == int(freeze(model).digest[:7], 16)
    model.refresh_from_db()
    assert set(note["never"]) == set(golden.read(model.golden_digest).answers)
    assert not {"run", "snapshot_digest"} & set(note)


def test_a_run_that_is_still_here_has_no_rows_for_others_yet(
    model: RegisteredModel, client_with: ClientWith
) -> None:
    client = client_with("retrain")
    run = frozen(model, handed_over_at=None)

    answer = client.get(URL, {"run": run.pk})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "run_not_handed_over")
    assert answer["Retry-After"] == "2"

    RetrainingRun.objects.update(status="failed")
    answer = client.get(URL, {"run": run.pk})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "run_ended")
    assert "Retry-After" not in answer


def test_the_rows_of_another_models_run_and_of_no_run_are_not_found(
    model: RegisteredModel, client_with: ClientWith
) -> None:
    client, other = client_with("retrain"), make_away(make_model("other"))

    assert client.get(URL, {"run": other.pk}).status_code == 404
    assert client.get(URL, {"run": other.pk + 1}).status_code == 404
    assert client.get(URL, {"run": "last"}).json()["errors"][0]["attr"] == "run"


def test_another_format_is_refused(model: RegisteredModel, client_with: ClientWith) -> None:
    response = client_with("retrain").get(URL, {"format": "xlsx"})

    assert response.status_code == 400
    assert response.json()["errors"][0]["attr"] == "format"


def test_data_that_cannot_be_read_is_said_before_anything_is_sent(
    client_with: ClientWith, tmp_path: Path
) -> None:
    make_model(data=str(tmp_path / "away.csv"))
    client = client_with("retrain")

    for _ in range(2):  # and the next one is not held up by it
        response = client.get(URL)
        error = response.json()["errors"][0]
        assert (response.status_code, error["code"]) == (409, "data_refused")
        assert "no such file" in error["detail"]


def test_one_file_is_made_at_a_time(model: RegisteredModel, client_with: ClientWith) -> None:
    with training_data._alone():
        response = client_with("retrain").get(URL)

    assert response.status_code == 503
    assert response["Retry-After"]
