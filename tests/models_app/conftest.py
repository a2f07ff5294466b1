"""Rows that several of these tests begin with."""

from __future__ import annotations

import pytest

from models_app import serving
from models_app.models import ModelVersion, RegisteredModel, TrainingSnapshot, WebProcess
from tests.factories import LONG, make_champion


@pytest.fixture
def rows() -> RegisteredModel:
    """One row of everything."""
    version = make_champion(metrics={"balanced_accuracy": 0.9})
    model = version.registered_model
    serving.predict(model.name, [LONG], client=None)
    snapshot = TrainingSnapshot.objects.create(
        registered_model=model, digest="5f" * 32, rows=142, feedback_rows=12
    )
    ModelVersion.objects.update(snapshot=snapshot)
    WebProcess.objects.create(host="here", pid=1)
    return model
