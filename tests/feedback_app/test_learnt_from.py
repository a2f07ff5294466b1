"""What a version from elsewhere learnt from, and that it is not judged on that."""

from __future__ import annotations

import hashlib
import uuid

import pytest

from feedback_app import arrivals, golden, snapshots
from feedback_app.models import RetrainingRun
from models_app.learning.rows import digest_instance
from models_app.learning.tables import instances_of
from models_app.models import ModelVersion, RegisteredModel
from tests.factories import make_champion, make_model
from tests.feedback_app.elsewhere import (
    bring_along,
    checks,
    folder_of,
    freeze,
    judged,
    learnt_from,
    trained_elsewhere,
)
from tests.feedback_app.makers import (
    BEYOND_MLFLOWS,
)

Status = RetrainingRun.Status

pytestmark = pytest.mark.django_db


@pytest.fixture
def model() -> RegisteredModel:
    return make_model(f"leaves-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def champion(model: RegisteredModel) -> ModelVersion:
    """Takes every oak for an elm, so that whatever has learnt is better."""
    return make_champion(model, turned=True, number=BEYOND_MLFLOWS)


def test_what_it_brought_along_tells_what_it_learnt_from(
    model: RegisteredModel, champion: ModelVersion
) -> None:
    number = trained_elsewhere(model)
    content = learnt_from(["a" * 64, "b" * 64])
    bring_along(model, number, content)

    version = judged(model).version

    assert version
    assert version.snapshot
    assert version.snapshot.digest == hashlib.sha256(content).hexdigest()
    assert snapshots.trained_digests(version) == {"a" * 64, "b" * 64}


def test_rows_that_it_learnt_from_do_not_count_for_it(
    model: RegisteredModel, champion: ModelVersion
) -> None:
    """A workflow that trains on everything is held for too few rows, not promoted for cheating."""
    freeze(model)
    model.refresh_from_db()
    number = trained_elsewhere(model)
    bring_along(model, number, learnt_from(list(golden.read(model.golden_digest).answers)))

    run = judged(model)

    assert (run.status, run.verdict) == (Status.HELD, "HOLD")
    assert checks(run)["min_rows"] is False
    assert run.version
    assert run.version.gate
    assert run.version.gate["rows"] == 0


@pytest.mark.parametrize(
    "content", [None, b"PAR1 and no more", b"another"], ids=["nothing", "broken", "another"]
)
def test_a_version_of_which_nobody_knows_what_it_learnt_from_is_held(
    model: RegisteredModel, champion: ModelVersion, content: bytes | None
) -> None:
    number = trained_elsewhere(model)
    if content is not None:
        bring_along(model, number, content)
    if content == b"another":
        (folder_of(model, number) / "learnt_from.parquet").write_bytes(learnt_from(["0" * 64]))

    run = judged(model)

    assert (run.status, run.verdict) == (Status.HELD, "HOLD")
    assert checks(run)["learnt_from"] is False
    assert RegisteredModel.objects.get().champion == champion


def test_what_it_brought_along_is_not_fetched_when_it_is_too_long(
    model: RegisteredModel, champion: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "LONGEST", 100)
    number = trained_elsewhere(model)
    bring_along(model, number, learnt_from(["0" * 64]))

    assert checks(judged(model))["learnt_from"] is False


def test_digests_of_rows_are_the_same_here_and_there(model: RegisteredModel) -> None:
    snapshot = freeze(model)
    train = snapshots.frozen_training(snapshot).rows

    there = [digest_instance(instance) for instance in instances_of(train, model.schema)]

    assert set(there) == snapshots.trained_digests(ModelVersion(snapshot=snapshot))
