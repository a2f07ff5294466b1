from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from models_app.learning import pipeline, tables
from models_app.learning.schema import Feature, Schema
from models_app.learning.tables import Task
from tests.models_app.learning.real_data import prepared

NUMBERS = Schema((Feature("a", "number"), Feature("b", "number")))

made_pipeline = make_pipeline(StandardScaler(), GaussianNB())


def factory() -> Pipeline:
    return make_pipeline(StandardScaler(), DummyClassifier(strategy="uniform"))


def not_an_estimator() -> int:
    return 3


def wants_an_argument(argument: int) -> int:
    return argument


def build(estimator: str, schema: Schema = NUMBERS, task: Task = "classification") -> Pipeline:
    return pipeline.build(estimator, schema=schema, task=task, seed=5)


@pytest.mark.filterwarnings("ignore:Maximum number of iteration")
@pytest.mark.parametrize("estimator", pipeline.CATALOGUE)
@pytest.mark.parametrize("name", ["mixed", "passwords"])
def test_every_estimator_of_the_catalogue_learns_from_every_kind(estimator: str, name: str) -> None:
    data = prepared(name)
    if data.task not in pipeline.CATALOGUE[estimator].makers:
        return
    made = build(estimator, data.schema, data.task)

    predicted = made.fit(data.encoded, data.targets).predict(data.encoded)

    assert predicted.shape == data.targets.shape
    if data.task == "classification":
        assert (predicted == data.targets).mean() > 0.75


@pytest.mark.parametrize("estimator", ["logistic", "random-forest", "hist-gradient-boosting"])
def test_rows_of_nothing_but_gaps_are_answered(estimator: str) -> None:
    data = prepared("mixed")
    made = build(estimator, data.schema).fit(data.encoded, data.targets)

    answered = made.predict(tables.framed(data.schema.columns([{}])))

    assert answered[0] in {"yes", "no"}


def test_tiny_odd_rows_are_learnt_from() -> None:
    frame = pd.DataFrame(
        {
            "one level": ["x"] * 4,
            "empty at times": ["", "a", "!?", " "],
            "never there": pd.Series([None] * 4, dtype=float),
        }
    )
    schema = Schema(
        (
            Feature("one level", "category"),
            Feature("empty at times", "text", required=False),
            Feature("never there", "number", required=False),
        )
    )
    made = build("logistic", schema)

    made.fit(tables.encode(frame, schema), np.array(list("abab"), dtype=object))

    assert made.predict(tables.encode(frame, schema)).shape == (4,)


def test_an_unseen_category_is_answered() -> None:
    schema = Schema((Feature("color", "category"),))
    rows = tables.framed(schema.columns([{"color": "red"}, {"color": "blue"}]))
    made = build("logistic", schema).fit(rows, np.array(["warm", "cold"], dtype=object))

    assert made.predict(tables.framed(schema.columns([{"color": "green"}]))).shape == (1,)


def test_case_and_signs_of_a_text_count() -> None:
    schema = Schema((Feature("Password", "text"),))
    rows = tables.framed(schema.columns([{"Password": text} for text in ("abc", "ABC", "a-c")]))

    columns = build("ridge", schema, "regression")[:-1].fit_transform(rows)

    assert len({tuple(row) for row in np.asarray(columns)}) == 3


def test_a_class_is_made_by_its_dotted_path_behind_the_preprocessing() -> None:
    made = build("sklearn.naive_bayes.GaussianNB")

    assert isinstance(made.named_steps["estimator"], GaussianNB)
    assert "columns" in made.named_steps


def test_a_pipeline_from_a_dotted_path_is_used_as_it_is() -> None:
    made = build(f"{__name__}.made_pipeline")

    assert list(made.named_steps) == ["standardscaler", "gaussiannb"]
    assert made is not made_pipeline


def test_the_seed_reaches_every_random_state() -> None:
    made = build(f"{__name__}.factory")

    assert made.named_steps["dummyclassifier"].random_state == 5
    assert build("random-forest").named_steps["estimator"].random_state == 5


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        ("random-forrest", "did you mean 'random-forest'"),
        ("sklearn.nothing.Here", "cannot be imported"),
        ("sklearn.svm.SVCC", "cannot be imported"),
        (".SVC", "cannot be imported"),
        (f"{__name__}.not_an_estimator", "no fit and predict"),
        (f"{__name__}.wants_an_argument", "without arguments"),
        ("sklearn.preprocessing.StandardScaler", "no fit and predict"),
    ],
)
def test_what_is_no_estimator_is_refused(estimator: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pipeline.check_estimator(estimator, "classification")


def test_an_estimator_of_another_task_is_refused_with_those_that_fit() -> None:
    with pytest.raises(ValueError, match=r"'logistic' does not fit a regression.*ridge"):
        pipeline.check_estimator("logistic", "regression")


@pytest.mark.parametrize("estimator", [*pipeline.CATALOGUE, pipeline.AUTO])
def test_every_name_fits_a_classification(estimator: str) -> None:
    pipeline.check_estimator(estimator, "classification")
