from __future__ import annotations

from io import BytesIO
from typing import Any
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
import skops.io

from models_app.learning import evaluation, pipeline, selection, tables
from models_app.learning.schema import Feature, Schema
from models_app.learning.selection import Fitted
from tests.models_app.learning.real_data import prepared


def fit(name: str, estimator: str = "auto", rows: slice = slice(None), **options: Any) -> Fitted:
    data = prepared(name)
    return selection.fit(
        estimator,
        data.encoded.iloc[rows],
        data.targets[rows],
        schema=data.schema,
        task=data.task,
        metric=tables.default_metric(data.task),
        seed=0,
        **options,
    )


@pytest.mark.parametrize(
    ("name", "metric", "least"),
    [
        ("wine", "balanced_accuracy", 0.95),
        ("diabetes", "r2", 0.35),
        ("passwords", "r2", 0.3),
        ("mixed", "balanced_accuracy", 0.75),
    ],
)
def test_the_search_finds_what_answers_unseen_rows_well(
    name: str, metric: str, least: float
) -> None:
    data = prepared(name)
    # Every fourth row is kept from the search.
    train = np.arange(len(data.targets)) % 4 != 0

    fitted = selection.fit(
        "auto", data.encoded[train], data.targets[train], schema=data.schema, task=data.task,
        metric=metric, seed=0,
    )  # fmt: skip

    answers = evaluation.answer(fitted.estimator, data.encoded[~train], data.task)
    assert evaluation.score(metric, data.targets[~train], answers) > least
    assert fitted.name in pipeline.CATALOGUE
    assert fitted.cross_validated is not None


@pytest.mark.parametrize(("name", "least"), [("breast cancer", 0.93), ("digits", 0.9)])
def test_a_named_estimator_is_fitted_without_a_search(name: str, least: float) -> None:
    fitted = fit(name, "logistic", slice(None, -150))

    data = prepared(name)
    answers = evaluation.answer(fitted.estimator, data.encoded[-150:], data.task)
    assert evaluation.score("balanced_accuracy", data.targets[-150:], answers) > least
    assert (fitted.name, fitted.parameters, fitted.cross_validated) == ("logistic", {}, None)


def test_one_seed_gives_one_estimator() -> None:
    first, again = fit("mixed", rows=slice(60)), fit("mixed", rows=slice(60))

    assert (first.name, first.parameters) == (again.name, again.parameters)
    data = prepared("mixed")
    one, two = (
        evaluation.answer(fitted.estimator, data.encoded, data.task) for fitted in (first, again)
    )
    np.testing.assert_array_equal(one.values, two.values)


def test_progress_counts_up_to_its_total() -> None:
    seen: list[tuple[str, int, int]] = []

    fit("diabetes", rows=slice(60), on_progress=lambda *step: seen.append(step))

    searching = [(done, total) for step, done, total in seen if step == "searching"]
    assert [done for done, _ in searching] == list(range(searching[0][1] + 1))
    assert seen[-2:] == [("fitting", 0, 1), ("fitting", 1, 1)]


def test_weight_moves_the_answer() -> None:
    schema = Schema((Feature("a", "number"),))
    frame = pd.DataFrame({"a": np.zeros(20)})
    targets = np.array(["no"] * 11 + ["yes"] * 9, dtype=object)
    options: Any = {"schema": schema, "task": "classification", "metric": "accuracy", "seed": 0}
    weight = np.where(targets == "yes", 3.0, 1.0)

    plain = selection.fit("logistic", frame, targets, **options)
    weighted = selection.fit("logistic", frame, targets, sample_weight=weight, **options)

    assert plain.estimator.predict(frame)[0] == "no"
    assert weighted.estimator.predict(frame)[0] == "yes"


def test_weights_that_an_estimator_cannot_take_are_refused() -> None:
    path = "sklearn.neighbors.KNeighborsClassifier"

    fit("wine", path, sample_weight=np.ones(178))
    with pytest.raises(ValueError, match="cannot weigh"):
        fit("wine", path, sample_weight=np.arange(178.0))


def test_one_class_alone_cannot_be_learnt() -> None:
    with pytest.raises(ValueError, match="every row has the same target '0'"):
        fit("wine", rows=slice(20))


@pytest.mark.parametrize("rows", [slice(50, 62), slice(57, 61)])
def test_the_search_copes_with_tiny_sets(rows: slice) -> None:
    assert fit("wine", rows=rows).name in pipeline.CATALOGUE


def test_a_class_of_one_row_does_not_stop_the_search() -> None:
    assert fit("wine", rows=slice(0, 60)).cross_validated is not None


@pytest.mark.parametrize(("rows", "most"), [(100, 8), (30_000, 5), (3_000_000, 3)])
def test_the_larger_the_set_the_fewer_the_candidates(rows: int, most: int) -> None:
    candidates = list(selection._within(rows * 30, "classification"))

    assert 0 < len(candidates) <= most
    assert candidates[0][0] == "logistic"


def test_the_search_looks_at_a_bounded_number_of_rows() -> None:
    rows = selection.MOST_SEARCH_ROWS + 5
    frame = pd.DataFrame({"a": np.arange(float(rows))})
    schema = Schema((Feature("a", "number"),))
    lesson = selection.Lesson(frame, np.arange(float(rows)), None, schema, "regression", 0)

    bounded = selection._bounded(lesson)

    assert len(bounded.targets) == selection.MOST_SEARCH_ROWS
    np.testing.assert_array_equal(bounded.frame["a"], bounded.targets)


def test_a_vocabulary_takes_no_file_a_term_in_an_artifact() -> None:
    """62,400 terms took 67 s to write, as skops writes each of NumPy's integers."""
    words = [f"{'good' if n % 2 else 'bad'} w{n} w{n * 7}" for n in range(60)]
    schema = Schema((Feature("text", "text"),))
    frame = tables.encode(pd.DataFrame({"text": words}), schema)
    targets = np.array(["no", "yes"] * 30, dtype=object)

    fitted = selection.fit(
        "logistic", frame, targets, schema=schema, task="classification", metric="accuracy", seed=0
    )

    terms = sum(len(one.vocabulary_) for one in pipeline.vectorizers(fitted.estimator))
    files = ZipFile(BytesIO(skops.io.dumps(fitted.estimator))).namelist()
    assert terms > 300
    assert len(files) < 30
