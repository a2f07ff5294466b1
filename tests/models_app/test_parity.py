"""Graphs that answer as the estimators do, however large or fine-grained the numbers are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import is_classifier
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
)
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeRegressor

from models_app import bundles
from models_app.learning import tables
from tests.models_app.test_conversion import Learnt

ROWS = 300
JULIAN = 2.46e6


def table(*, offset: float = 0.0, rows: int = ROWS, classes: bool = False) -> pd.DataFrame:
    """Fine-grained numbers, a date's worth of days as a number, and two categories."""
    chance = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "colour": chance.choice(["red", "blue", "grey", "green"], rows),
            "size": chance.choice(["s", "m"], rows),
            "narrow": chance.normal(size=rows) * 1e-3 + 5,
            "wide": chance.normal(size=rows) * 1e5,
            "day": JULIAN + chance.uniform(0, 3, rows),
        }
    )
    answer = (
        (frame["colour"] == "red") * 0.5
        + np.sin(frame["wide"] / 1e5)
        + (frame["narrow"] - 5) * 300
        + (frame["day"] - JULIAN)
        + chance.normal(size=rows) * 0.05
    )
    frame["answer"] = np.where(answer > 1.5, "yes", "no") if classes else answer + offset
    return frame


NUMBERS = ["narrow", "wide", "day", "answer"]
REGRESSORS = """
ridge sgd random-forest hist-gradient-boosting
sklearn.linear_model.LinearRegression sklearn.linear_model.HuberRegressor
sklearn.ensemble.RandomForestRegressor sklearn.ensemble.ExtraTreesRegressor
sklearn.ensemble.GradientBoostingRegressor sklearn.ensemble.BaggingRegressor
sklearn.tree.DecisionTreeRegressor sklearn.svm.SVR sklearn.neighbors.KNeighborsRegressor
""".split()  # noqa: SIM905


def served(learnt: Learnt) -> bundles.Bundle:
    """The bundle of it, which is a graph that answers as it does."""
    made = learnt.bundled()
    assert (made.runtime, made.fallback_reason) == ("onnx", "")
    bundle = bundles.load(made.digest)
    assert learnt.apart(bundle, learnt.instances) <= learnt.tolerance
    return bundle


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("estimator", REGRESSORS)
@pytest.mark.parametrize("offset", [JULIAN, -1e9])
def test_a_regression_far_from_zero_is_a_graph(estimator: str, offset: float) -> None:
    learnt = Learnt(table(offset=offset), "answer", estimator)

    bundle = served(learnt)

    # Millionths of what the answers differ by, where float32 knows steps of 0.25 and 64.
    assert learnt.apart(bundle, learnt.instances) < 5e-6


def test_answers_of_two_million_do_not_come_in_steps() -> None:
    learnt = Learnt(table(offset=JULIAN)[NUMBERS], "answer", "ridge")
    rows = [{"narrow": 5.0, "wide": wide, "day": JULIAN} for wide in range(0, 1000, 10)]

    answers = served(learnt).answer(learnt.schema.columns(rows)).values

    assert len(set(answers.tolist())) == len(rows)
    assert np.diff(answers) == pytest.approx(np.diff(answers)[0], rel=1e-3)


@pytest.mark.parametrize(
    "forest",
    [RandomForestClassifier, HistGradientBoostingClassifier],
)
def test_numbers_that_are_scaled_before_trees_are_scaled_in_double(forest: type) -> None:
    frame = table(rows=3000, classes=True)[NUMBERS]
    estimator = make_pipeline(StandardScaler(), forest(random_state=0))
    learnt = Learnt(frame.iloc[:1500], "answer", estimator)
    others = tables.instances_of(frame.iloc[1500:], learnt.schema)

    assert learnt.apart(served(learnt), others) <= learnt.tolerance


@pytest.mark.parametrize("estimator", ["random-forest", "hist-gradient-boosting"])
def test_values_that_differ_in_the_ninth_digit_part_as_they_do_for_the_estimator(
    estimator: str,
) -> None:
    frame = table(rows=600, classes=True)[["day", "answer"]]
    learnt = Learnt(frame, "answer", estimator)
    steps = [{"day": JULIAN + step * 1e-3} for step in range(3000)]

    assert learnt.apart(served(learnt), steps) <= learnt.tolerance


def test_a_leaf_keeps_the_digits_of_its_number() -> None:
    frame = table()
    frame["answer"] = np.where(frame["wide"] > 0, 3.4, -1.1)
    learnt = Learnt(frame, "answer", "sklearn.tree.DecisionTreeRegressor")

    answers = served(learnt).answer(learnt.schema.columns(learnt.instances)).values

    assert set(answers.tolist()) == {3.4, -1.1}


def encoded(encoder: Any, model: Any) -> Pipeline:
    """Categories first, then the numbers as they are: as many people write it."""
    return make_pipeline(
        make_column_transformer((encoder, ["colour", "size"]), remainder="passthrough"), model
    )


ORDINAL = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
ONE_HOT = OneHotEncoder(handle_unknown="ignore")


@pytest.mark.parametrize("encoder", [ORDINAL, ONE_HOT], ids=["ordinal", "one-hot"])
@pytest.mark.parametrize(
    "model",
    [
        LinearRegression(), RandomForestRegressor(20, random_state=0), GradientBoostingRegressor(),
        HistGradientBoostingRegressor(), SVR(),
    ],
    ids=lambda model: type(model).__name__,
)  # fmt: skip
@pytest.mark.parametrize("columns", [[], ["wide"]], ids=["categories only", "with numbers"])
def test_categories_before_numbers_do_not_cost_digits(
    encoder: Any, model: Any, columns: list[str]
) -> None:
    frame = table(offset=JULIAN)[["colour", "size", *columns, "answer"]]

    served(Learnt(frame, "answer", encoded(encoder, model)))


@pytest.mark.parametrize(
    "model",
    [
        HistGradientBoostingRegressor(), RandomForestRegressor(20, random_state=0),
        DecisionTreeRegressor(), RandomForestClassifier(20, random_state=0),
        HistGradientBoostingClassifier(categorical_features=[0]),
    ],
    ids=lambda model: type(model).__name__,
)  # fmt: skip
def test_missing_numbers_go_the_way_that_the_trees_learnt(model: Any) -> None:
    frame = table(offset=JULIAN, classes=is_classifier(model))
    frame.loc[frame.index % 3 == 0, "wide"] = np.nan
    frame.loc[frame.index % 7 == 0, "narrow"] = np.nan
    learnt = Learnt(frame, "answer", encoded(ORDINAL, model))
    row = learnt.instances[1]
    none = {name: value for name, value in row.items() if name not in {"wide", "narrow"}}

    bundle = served(learnt)

    assert learnt.apart(bundle, [none, {**none, "wide": 0.0}]) <= learnt.tolerance


@pytest.mark.parametrize("categories", [[0], [0, 1], [1]])
def test_native_categories_of_gradient_boosting_are_a_graph(categories: list[int]) -> None:
    model = HistGradientBoostingClassifier(categorical_features=categories, max_iter=40)
    learnt = Learnt(table(classes=True), "answer", encoded(ORDINAL, model))
    row = learnt.instances[0]
    unknown = [{**row, "colour": "never seen"}, {**row, "size": "", "colour": "also new"}]

    bundle = served(learnt)

    assert learnt.apart(bundle, unknown) <= learnt.tolerance


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "poisson", "gamma"])
def test_native_categories_are_a_graph_for_each_loss(loss: str) -> None:
    model = HistGradientBoostingRegressor(loss=loss, categorical_features=[0, 1], max_iter=40)
    learnt = Learnt(table(offset=100.0), "answer", encoded(ORDINAL, model))

    bundle = served(learnt)

    assert learnt.apart(bundle, [{**learnt.instances[0], "colour": "new"}]) <= learnt.tolerance


def test_many_categories_and_several_classes_are_a_graph() -> None:
    chance = np.random.default_rng(0)
    frame = pd.DataFrame({"place": chance.integers(0, 200, 2000), "n": chance.normal(size=2000)})
    frame["place"] = "p" + frame["place"].astype(str)
    frame["answer"] = np.array(["a", "b", "c"])[
        (frame["place"].str.len() + (frame["n"] > 0)).to_numpy() % 3
    ]
    columns = make_column_transformer((ORDINAL, ["place"]), remainder="passthrough")
    model = HistGradientBoostingClassifier(categorical_features=[0], max_iter=20)

    served(Learnt(frame, "answer", make_pipeline(columns, model)))


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(PolynomialFeatures(), StandardScaler(), LogisticRegression()),
        LogisticRegression(max_iter=2000),
        VotingClassifier(
            [("a", LogisticRegression(max_iter=2000)), ("b", RandomForestClassifier(5))],
            voting="soft",
        ),
    ],
    ids=["scaled", "polynomial", "bare", "voting"],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_estimator_that_names_no_columns_is_a_graph(estimator: Any) -> None:
    served(Learnt(table(classes=True)[NUMBERS], "answer", estimator))


def test_what_depends_on_the_order_of_equal_neighbours_stays_an_estimator() -> None:
    frame = table(classes=True)[["colour", "size", "answer"]]
    learnt = Learnt(frame, "answer", encoded(ONE_HOT, KNeighborsClassifier()))

    made = learnt.bundled()

    assert made.runtime == "estimator"
    assert "differ" in made.fallback_reason
    assert learnt.apart(bundles.load(made.digest), learnt.instances) == 0
