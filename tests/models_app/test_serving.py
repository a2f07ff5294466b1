from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from models_app import serving
from models_app.conversion import make_bundle
from models_app.learning import pipeline, tables
from models_app.learning.schema import Feature, InvalidInstances, Schema
from models_app.models import Prediction
from models_app.refusals import InvalidInput, NotFound, NotReady, TooMuch
from tests.factories import LONG, SHORT, leaves, make_champion, make_model, make_user, make_version

pytestmark = pytest.mark.django_db


def ask(*instances: object, client: User | None = None) -> serving.Answered:
    return serving.predict("leaves", instances or [SHORT], client=client)


def test_each_instance_is_answered_in_order() -> None:
    make_champion()

    answered = ask(SHORT, LONG, SHORT)

    assert (answered.model, answered.version, answered.generation) == ("leaves", 1, 1)
    assert [prediction["value"] for prediction in answered.predictions] == ["elm", "oak", "elm"]
    for prediction in answered.predictions:
        probabilities = prediction["probabilities"]
        assert list(probabilities) == ["elm", "oak"]
        assert max(probabilities, key=probabilities.get) == prediction["value"]
        assert sum(probabilities.values()) == pytest.approx(1)


def test_every_answer_is_in_the_log_before_it_is_given() -> None:
    version = make_champion()
    client = make_user()

    answered = serving.predict("leaves", [SHORT, LONG], client=client, subject="leaf-7")

    for instance, prediction in zip([SHORT, LONG], answered.predictions, strict=True):
        row = Prediction.objects.get(pk=prediction["id"])
        assert (row.version, row.generation, row.registered_model.name) == (version, 1, "leaves")
        assert (row.input, row.value) == (instance, prediction["value"])
        assert row.probabilities == prediction["probabilities"]
        assert (row.client, row.subject) == (client, "leaf-7")
        assert timezone.now() - row.at < timedelta(minutes=1)


def test_ids_sort_by_the_time_they_were_given() -> None:
    make_champion()

    ids = [ask().predictions[0]["id"] for _ in range(5)]

    assert ids == sorted(ids)


def test_a_promotion_changes_the_answer_and_a_rollback_brings_it_back() -> None:
    model = make_model()
    make_champion(model)
    assert ask(LONG).predictions[0]["value"] == "oak"

    make_champion(model, turned=True)

    answered = ask(LONG)
    assert (answered.version, answered.generation) == (2, 2)
    assert answered.predictions[0]["value"] == "elm"


def test_a_category_never_seen_is_answered_with_a_warning() -> None:
    frame = leaves()
    frame["colour"] = np.where(frame["length"] > 5, "green", "red")
    schema = tables.infer_schema(frame, target="kind")
    estimator = pipeline.build("logistic", schema=schema, task="classification", seed=0)
    estimator.fit(tables.encode(frame, schema), frame["kind"].to_numpy(dtype=object))
    made = make_bundle(
        estimator,
        name="leaves",
        schema=schema,
        task="classification",
        classes=("elm", "oak"),
        instances=tables.instances_of(frame, schema),
    )
    make_champion(bundle_digest=made.digest)

    known, unknown = ask({**LONG, "colour": "red"}, {**LONG, "colour": "mauve"}).predictions

    assert "warnings" not in known
    assert unknown["warnings"] == [{"code": "unseen_category", "attr": "colour"}]


def test_a_regression_answers_numbers_without_probabilities() -> None:
    frame = leaves().drop(columns="kind")
    frame["area"] = frame["length"] * frame["width"]
    schema = Schema((Feature("length", "number"), Feature("width", "number")))
    estimator = pipeline.build("ridge", schema=schema, task="regression", seed=0)
    estimator.fit(tables.encode(frame, schema), frame["area"].to_numpy())
    made = make_bundle(
        estimator,
        name="leaves",
        schema=schema,
        task="regression",
        classes=(),
        instances=tables.instances_of(frame, schema),
    )
    make_champion(make_model(task="regression", target="area"), bundle_digest=made.digest)

    (prediction,) = ask(LONG).predictions

    assert isinstance(prediction["value"], float)
    assert prediction["value"] == pytest.approx(estimator.predict(_framed(schema))[0], abs=1e-3)
    assert "probabilities" not in prediction
    assert Prediction.objects.get().probabilities is None


def _framed(schema: Schema) -> object:
    return tables.framed(schema.columns([LONG]))


def test_a_wrong_instance_is_refused_and_nothing_is_logged() -> None:
    make_champion()

    with pytest.raises(InvalidInstances) as refusal:
        ask(SHORT, {"length": "long", "widht": 1})

    attrs = {problem.attr for problem in refusal.value.problems}
    assert attrs == {"instances.1.length", "instances.1.width", "instances.1.widht"}
    assert not Prediction.objects.exists()


def test_a_thousand_instances_are_answered_and_more_are_too_many() -> None:
    make_champion()

    assert len(ask(*[SHORT] * 1000).predictions) == 1000
    with pytest.raises(TooMuch) as refusal:
        ask(*[SHORT] * 1001)

    assert refusal.value.code == "too_many_instances"
    assert Prediction.objects.count() == 1000


def test_no_instance_is_refused() -> None:
    make_champion()

    with pytest.raises(InvalidInput):
        serving.predict("leaves", [], client=None)


def test_a_model_without_champion_is_not_ready() -> None:
    make_version(make_model())

    with pytest.raises(NotReady):
        ask()


def test_unknown_and_retired_models_are_not_found() -> None:
    model = make_model()
    make_champion(model)
    model.refresh_from_db()
    model.retired_at = timezone.now()
    model.save()

    for name in ("leaves", "roots"):
        with pytest.raises(NotFound):
            serving.predict(name, [SHORT], client=None)


def test_the_default_model_is_the_one_declared_so() -> None:
    with pytest.raises(NotReady):
        serving.default_name()

    make_model("first", is_default=False)
    make_model("second", is_default=True)

    assert serving.default_name() == "second"


def test_serving_imports_neither_pandas_nor_scikit_learn_nor_mlflow() -> None:
    source = (
        "import django, json, sys; django.setup(); import models_app.serving, models_app.urls;"
        "import models_app.runtimes.onnx; print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(done.stdout.splitlines()[-1]))

    assert "onnxruntime" in loaded
    assert not loaded & {"pandas", "sklearn", "scipy", "mlflow", "skl2onnx", "skops"}
