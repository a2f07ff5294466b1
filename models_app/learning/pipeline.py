"""From a schema and an estimator's name to a scikit-learn Pipeline over encoded rows."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    LogisticRegression,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import BaseDecisionTree

from models_app.learning.schema import Schema
from models_app.learning.spelling import unknown_name
from models_app.learning.tables import Task

AUTO = "auto"
Parameters = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One estimator of the catalogue.

    makers: what makes it, a task. grid: what the search tries; () keeps it out of the search.
    linear: it wants scaled numbers and can take wide sparse text; trees want neither.
    """

    makers: Mapping[Task, Callable[..., BaseEstimator]]
    grid: tuple[Parameters, ...] = ()
    linear: bool = False


CATALOGUE: dict[str, Entry] = {
    "logistic": Entry(
        {"classification": partial(LogisticRegression, max_iter=2000)},
        grid=({"C": 1.0}, {"C": 0.1}, {"C": 10.0}),
        linear=True,
    ),
    "ridge": Entry(
        {"classification": RidgeClassifier, "regression": Ridge},
        grid=({"alpha": 1.0}, {"alpha": 0.1}, {"alpha": 10.0}),
        linear=True,
    ),
    "random-forest": Entry(
        {
            "classification": RandomForestClassifier,
            # A third of the features a split, as Breiman (2001) has it for regression.
            "regression": partial(RandomForestRegressor, max_features=1 / 3),
        },
        grid=({"min_samples_leaf": 1}, {"min_samples_leaf": 4}),
    ),
    "hist-gradient-boosting": Entry(
        {
            # Stopping early wants rows of every class to look at; a rare class has none.
            "classification": partial(HistGradientBoostingClassifier, early_stopping=False),
            "regression": partial(HistGradientBoostingRegressor, early_stopping=False),
        },
        grid=({"learning_rate": 0.1}, {"learning_rate": 0.05, "max_leaf_nodes": 15}),
    ),
    "sgd": Entry(
        {
            "classification": partial(SGDClassifier, loss="log_loss"),
            "regression": SGDRegressor,
        },
        linear=True,
    ),
}

WIDE_TEXT = 20_000
# Trees need dense columns, and so may an estimator that we know nothing about.
NARROW_TEXT = 200
# Trees split a number where they would split it scaled; scaling would only cost digits.
_TREES = (
    BaseDecisionTree,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
_OF_TREES_UNLESS_TOLD = (AdaBoostClassifier, AdaBoostRegressor, BaggingClassifier, BaggingRegressor)


def check_estimator(estimator: str, task: Task) -> None:
    """Raise ValueError unless `estimator` is "auto", of the catalogue, or a dotted path."""
    if estimator != AUTO:
        _make(estimator, task)


def build(
    estimator: str, *, schema: Schema, task: Task, seed: int, parameters: Parameters | None = None
) -> Pipeline:
    """An unfitted Pipeline that takes rows as `tables.encode` gives them.

    estimator: a name of the CATALOGUE, or the dotted path of an estimator, its class, or a
    function without arguments that returns one; a Pipeline is used as it is. parameters: for
    the estimator. seed: for every `random_state` that is not set. Raises ValueError for an
    unknown name or path, an estimator that does not fit the task, or a parameter it lacks.
    """
    made = _make(estimator, task)
    made.set_params(**(parameters or {}))
    if not isinstance(made, Pipeline):
        entry = CATALOGUE.get(estimator)
        scale = entry.linear if entry else not _is_of_trees(made)
        columns = _preprocessing(schema, scale=scale, dense=entry is None or not entry.linear)
        made = Pipeline([("columns", columns), ("estimator", made)])
    unseeded = {
        name: seed
        for name, value in made.get_params().items()
        if name.rpartition("__")[2] == "random_state" and value is None
    }
    return made.set_params(**unseeded)


def takes_weights(pipeline: Pipeline) -> bool:
    """Whether the last step of the pipeline can weigh its training rows."""
    return "sample_weight" in inspect.signature(pipeline.steps[-1][1].fit).parameters


def _is_of_trees(estimator: Any) -> bool:
    if isinstance(estimator, _OF_TREES_UNLESS_TOLD):
        return estimator.estimator is None or _is_of_trees(estimator.estimator)
    return isinstance(estimator, _TREES)


def vectorizers(estimator: Any) -> Iterator[CountVectorizer]:
    """The text vectorizers anywhere inside a fitted estimator."""
    if isinstance(estimator, CountVectorizer):
        yield estimator
    elif isinstance(estimator, Pipeline):
        for _, part in estimator.steps:
            yield from vectorizers(part)
    elif isinstance(estimator, FeatureUnion):
        for _, part in estimator.transformer_list:
            yield from vectorizers(part)
    elif isinstance(estimator, ColumnTransformer):
        for _, part, _ in estimator.transformers_:
            yield from vectorizers(part)


def with_plain_vocabularies(estimator: Any) -> Any:
    """The fitted estimator, the places in its vocabularies as Python's integers.

    scikit-learn leaves NumPy's there, each of which skops writes as a file of its own and searches
    the archive for: 62,400 terms took 67 s to write, and take 1 s so.
    """
    for vectorizer in vectorizers(estimator):
        places = vectorizer.vocabulary_.items()
        vectorizer.vocabulary_ = {term: int(place) for term, place in places}
    return estimator


def _make(estimator: str, task: Task) -> Any:
    if "." in estimator:
        return _from_path(estimator)
    if estimator not in CATALOGUE:
        raise ValueError(unknown_name("estimator", estimator, [*CATALOGUE, AUTO]))
    maker = CATALOGUE[estimator].makers.get(task)
    if maker is None:
        fitting = [name for name, entry in CATALOGUE.items() if task in entry.makers]
        raise ValueError(
            f"estimator '{estimator}' does not fit a {task}; one of these does: "
            f"{', '.join(fitting)}"
        )
    return maker()


def _from_path(path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"estimator '{path}' cannot be imported: {error}") from error
    if isinstance(found, BaseEstimator):
        return clone(found)
    try:
        made = found()
    except TypeError as error:
        raise ValueError(f"estimator '{path}' cannot be made without arguments: {error}") from error
    if isinstance(made, BaseEstimator) and hasattr(made, "fit") and hasattr(made, "predict"):
        return made
    raise ValueError(f"estimator '{path}' is no scikit-learn estimator: no fit and predict")


def _preprocessing(schema: Schema, *, scale: bool, dense: bool) -> ColumnTransformer:
    """Every column of the schema to numbers; what was missing in training is imputed."""
    numbers = [
        column
        for feature in schema.features
        if feature.kind in ("number", "datetime")
        for column in feature.column_names
    ]
    booleans = [feature.name for feature in schema.features if feature.kind == "boolean"]
    categories = [feature.name for feature in schema.features if feature.kind == "category"]
    texts = [feature.name for feature in schema.features if feature.kind == "text"]
    # A fold may hold a column without any value: kept, as 0, so that columns stay in step.
    median = SimpleImputer(strategy="median", keep_empty_features=True)
    steps: list[tuple[str, Any, Any]] = [
        ("numbers", Pipeline([("impute", median), ("scale", StandardScaler())]), numbers)
        if scale
        else ("numbers", median, numbers),
        ("booleans", SimpleImputer(strategy="most_frequent", keep_empty_features=True), booleans),
        ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=not dense), categories),
    ]
    for index, name in enumerate(texts):
        width = NARROW_TEXT if dense else WIDE_TEXT
        steps.append((f"characters_{index}", _n_grams("char", (1, 4), width), name))
        steps.append((f"words_{index}", _n_grams("word", (1, 2), width), name))
    used = [step for step in steps if step[2]]
    return ColumnTransformer(used, sparse_threshold=0.0 if dense else 0.3)


def _n_grams(analyzer: str, lengths: tuple[int, int], width: int) -> TfidfVectorizer:
    # Case and signs tell passwords and codes apart; and a word of one letter is a word.
    # Spelt out, since \s means more in Python than in the engine that ONNX models split with.
    words = {"token_pattern": r"[^ \t\n\r\f\v]+"} if analyzer == "word" else {}
    return TfidfVectorizer(
        analyzer=analyzer, ngram_range=lengths, max_features=width, lowercase=False, **words
    )
