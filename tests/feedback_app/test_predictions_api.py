from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from models_app.models import Prediction, TrainingSnapshot
from tests.conftest import KeyMaker
from tests.factories import LONG, make_champion
from tests.feedback_app.makers import make_feedback, make_prediction, make_run

pytestmark = pytest.mark.django_db


def test_a_prediction_tells_what_was_said_and_learnt_from_it(client_with: KeyMaker) -> None:
    version = make_champion()
    prediction = make_prediction(version, subject="tree 7")
    snapshot = TrainingSnapshot.objects.create(
        registered_model=version.registered_model, digest="a" * 64, rows=9, feedback_rows=1
    )
    said = make_feedback(version.registered_model, prediction=prediction)
    said.snapshots.add(snapshot)
    # One that was frozen before is no place for it.
    early = TrainingSnapshot.objects.create(
        registered_model=version.registered_model, digest="b" * 64, rows=8, feedback_rows=0
    )
    began = timedelta(minutes=1)
    for one, started_at in ((snapshot, said.at + began), (early, said.at - began)):
        make_run(version.registered_model, snapshot=one, started_at=started_at, status="succeeded")

    body = client_with("read").get(f"/api/predictions/{prediction.pk}/").json()

    assert body["id"] == str(prediction.pk)
    assert (body["model"], body["version"], body["generation"]) == ("leaves", 1, 1)
    assert (body["input"], body["value"], body["subject"]) == (LONG, "oak", "tree 7")
    assert body["probabilities"] == {"elm": 0.01, "oak": 0.99}
    assert [one["id"] for one in body["feedback"]] == [str(said.pk)]
    assert [one["digest"] for one in body["snapshots"]] == ["a" * 64]


def test_clients_see_their_own_predictions_only(client_with: KeyMaker) -> None:
    make_champion()
    client = client_with("predict")
    client.post("/api/models/leaves/predict/", {"instances": [LONG]})
    own = f"/api/predictions/{Prediction.objects.get().pk}/"
    other = f"/api/predictions/{make_prediction(Prediction.objects.get().version).pk}/"

    assert client.get(own).status_code == 200
    assert client.get(other).status_code == 404
    assert client_with("predict").get(own).status_code == 404


def test_visitors_see_no_prediction(api: APIClient) -> None:
    prediction = make_prediction(make_champion())

    assert api.get(f"/api/predictions/{prediction.pk}/").status_code == 401
    assert api.get(f"/api/predictions/{uuid4()}/").status_code == 401
