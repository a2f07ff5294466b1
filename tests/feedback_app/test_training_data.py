from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from feedback_app import snapshots, training_data
from models_app import datasets
from models_app.models import RegisteredModel, TrainingSnapshot
from models_app.training import WEIGHT
from tests.factories import leaves, make_model
from tests.feedback_app.makers import make_feedback

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


def next_snapshot(model: RegisteredModel) -> pd.DataFrame:
    base = datasets.read_table(model.data)
    snapshot = snapshots.freeze(model, base=base, up_to=timezone.now())
    return snapshots.load(snapshot, champion=None).train


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

    told = snapshots.as_csv(frame).decode().splitlines()

    assert told == ["size,note,'@kind", "-1.5,'=1+1,-3", "2.0,,oak"]


def test_who_may_not_retrain_may_not_have_it(
    model: RegisteredModel, api: APIClient, client_with: ClientWith
) -> None:
    assert api.get(URL).status_code == 401
    assert client_with("read", "predict").get(URL).status_code == 403
    assert client_with("retrain").get("/api/models/roots/training-data/").status_code == 404


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
