from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.datasets
from django.core.files.storage import default_storage
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from models_app import bundles
from models_app.conversion import MadeBundle, make_bundle
from models_app.learning import pipeline, tables
from models_app.learning.agreement import difference, tolerance
from models_app.learning.schema import Schema
from models_app.refusals import BundleRefused
from models_app.runtimes.estimator import EstimatorRuntime


class Learnt:
    """A fitted estimator, what it learnt from, and the bundle made of it."""

    def __init__(self, frame: pd.DataFrame, target: str, estimator: Any) -> None:
        frame = tables.usable_rows(frame, target)
        self.task = tables.infer_task(frame[target])
        self.schema = tables.infer_schema(frame, target=target)
        self.instances = tables.instances_of(frame, self.schema)
        if isinstance(estimator, str):
            estimator = pipeline.build(estimator, schema=self.schema, task=self.task, seed=0)
        targets = tables.targets_of(frame[target], self.task)
        self.estimator = estimator.fit(tables.encode(frame, self.schema), targets)
        self.classes = tuple(map(str, getattr(self.estimator, "classes_", ())))

    def bundled(self) -> MadeBundle:
        return make_bundle(
            self.estimator,
            name="made",
            schema=self.schema,
            task=self.task,
            classes=self.classes,
            instances=self.instances,
        )

    @property
    def tolerance(self) -> float:
        """How far its bundle's answers may be from its own."""
        original = EstimatorRuntime(self.estimator, classes=self.classes)
        return tolerance(original.answer(self.schema.columns(self.instances)))

    def apart(self, bundle: bundles.Bundle, instances: list[dict[str, Any]]) -> float:
        """How far the bundle's answers are from those of the estimator itself."""
        columns = self.schema.columns(instances)
        original = EstimatorRuntime(self.estimator, classes=self.classes)
        return difference(original.answer(columns), bundle.answer(columns))


def shipped(name: str) -> tuple[pd.DataFrame, str]:
    return getattr(sklearn.datasets, f"load_{name}")(as_frame=True).frame, "target"


def mixed(rows: int = 240) -> tuple[pd.DataFrame, str]:
    """Every kind of column but text, with missing values and awkward names."""
    chance = np.random.default_rng(0)
    amount = chance.lognormal(5, 2, rows).round(2)
    colour = chance.choice(np.array(["red", "blü", "a b", None], dtype=object), rows)
    frame = pd.DataFrame(
        {
            "class": colour,
            "a b": np.where(chance.random(rows) < 0.1, np.nan, chance.normal(size=rows)),
            "a.b": chance.normal(size=rows) * 1e6,
            "a_b": amount,
            "größe": pd.date_range("2019-01-01", periods=rows, freq="37h").astype(str),
            "flag": chance.choice(np.array([True, False, None], dtype=object), rows),
            "yes_no": np.where((colour == "red") | (amount > 200), "yes", "no"),
        }
    )
    return frame, "yes_no"


WORDS = "correct horse Battery staple über naïve don't e-mail W0rd! 日本 it's U.S.A. (ok)".split()  # noqa: SIM905


def reviews(rows: int = 160) -> tuple[pd.DataFrame, str]:
    chance = np.random.default_rng(0)
    texts = [" ".join(chance.choice(WORDS, chance.integers(1, 10))) for _ in range(rows)]
    kinds = ["pos" if "horse" in text else "neg" for text in texts]
    stars = chance.random(rows)
    return pd.DataFrame({"text": texts, "stars": stars, "kind": kinds}), "kind"


def passwords(rows: int = 160) -> tuple[pd.DataFrame, str]:
    chance, signs = np.random.default_rng(0), list("abcABC123!@_-é")
    texts = ["".join(chance.choice(signs, chance.integers(1, 15))) for _ in range(rows)]
    times = [len(set(text)) * 1.3 + len(text) for text in texts]
    return pd.DataFrame({"Password": texts, "Times": times}), "Times"


DATA: dict[str, Callable[[], tuple[pd.DataFrame, str]]] = {
    "wine": lambda: shipped("wine"),
    "breast_cancer": lambda: shipped("breast_cancer"),
    "diabetes": lambda: shipped("diabetes"),
    "mixed": mixed,
    "reviews": reviews,
    "passwords": passwords,
}
REGRESSIONS = ("diabetes", "passwords")
CASES = [
    (data, estimator)
    for data in DATA
    for estimator in pipeline.CATALOGUE
    if not (data in REGRESSIONS and estimator == "logistic")
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("data", "estimator"), CASES)
def test_the_catalogue_becomes_onnx_that_answers_as_the_estimator(
    data: str, estimator: str
) -> None:
    learnt = Learnt(*DATA[data](), estimator)

    made = learnt.bundled()

    assert (made.runtime, made.fallback_reason) == ("onnx", "")
    assert learnt.apart(bundles.load(made.digest), learnt.instances) <= learnt.tolerance


@pytest.fixture(scope="module")
def reader() -> tuple[Learnt, bundles.Bundle]:
    learnt = Learnt(*reviews(), "logistic")
    made = learnt.bundled()
    assert made.runtime == "onnx"
    return learnt, bundles.load(made.digest)


SPACES = [" ", "  ", "\t", "\n", "\u00a0", "\u2003", "\x0b", "\x1c"]
TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40),
    st.lists(st.sampled_from([*WORDS, *SPACES]), max_size=12).map("".join),
)


@settings(max_examples=60, deadline=None)
@given(text=TEXTS)
def test_no_text_makes_onnx_answer_otherwise(
    reader: tuple[Learnt, bundles.Bundle], text: str
) -> None:
    learnt, bundle = reader

    assert learnt.apart(bundle, [{"text": text, "stars": 0.5}]) <= learnt.tolerance


def one_text(schema_column: str, estimator: Any, **options: Any) -> Pipeline:
    from sklearn.compose import ColumnTransformer

    vectorizer = TfidfVectorizer(**options)
    return Pipeline(
        [("columns", ColumnTransformer([("text", vectorizer, schema_column)])), ("last", estimator)]
    )


def test_a_lower_casing_vectorizer_stays_an_estimator() -> None:
    learnt = Learnt(*reviews(), one_text("text", LogisticRegression()))

    made = learnt.bundled()

    assert made.runtime == "estimator"
    assert "lower-cases" in made.fallback_reason


def test_a_vectorizer_that_found_no_pair_of_words_becomes_onnx() -> None:
    estimator = one_text(
        "Password", Ridge(), ngram_range=(1, 2), lowercase=False, token_pattern=r"[^ ]+"
    )

    assert Learnt(*passwords(), estimator).bundled().runtime == "onnx"


def test_an_estimator_that_onnx_cannot_express_still_serves() -> None:
    learnt = Learnt(
        *shipped("wine"), make_pipeline(FunctionTransformer(np.log1p), KNeighborsClassifier())
    )

    made = learnt.bundled()

    assert made.runtime == "estimator"
    assert made.fallback_reason
    assert learnt.apart(bundles.load(made.digest), learnt.instances) == 0


class Homemade(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """An estimator that nobody trusts."""

    def fit(self, rows: pd.DataFrame, targets: Any) -> Homemade:
        self.classes_ = np.unique(targets)
        return self

    def predict(self, rows: pd.DataFrame) -> Any:
        return np.repeat(self.classes_[:1], len(rows))


def test_what_neither_onnx_nor_our_list_of_types_knows_is_refused() -> None:
    learnt = Learnt(*shipped("wine"), Homemade())

    with pytest.raises(BundleRefused) as refusal:
        learnt.bundled()

    assert refusal.value.code == "artifact_untrusted"
    assert "Homemade" in refusal.value.detail


def test_numbers_reach_the_graph_as_one_input_and_texts_as_one_each() -> None:
    numbers = Learnt(*shipped("breast_cancer"), "logistic").bundled()
    mixed_up = Learnt(*mixed(), "logistic").bundled()

    for made, text_inputs in ((numbers, 0), (mixed_up, 2)):
        path = f"bundles/{made.digest}/{bundles.MANIFEST}"
        with default_storage.open(path) as manifest:
            inputs = json.load(manifest)["inputs"]
        assert made.runtime == "onnx"
        assert len([one for one in inputs if len(one) > 1]) == 1
        assert len(inputs) <= 2 + text_inputs


def test_the_same_estimator_gives_the_same_bundle() -> None:
    assert Learnt(*mixed(), "ridge").bundled() == Learnt(*mixed(), "ridge").bundled()


def test_columns_whose_names_onnx_confuses_keep_their_places() -> None:
    learnt = Learnt(*mixed(), "logistic")
    bundle = bundles.load(learnt.bundled().digest)
    first = learnt.instances[0]
    swapped = {**first, "a.b": first["a_b"], "a_b": first["a.b"]}

    assert learnt.apart(bundle, [swapped]) <= learnt.tolerance


def test_schema_survives_the_bundle() -> None:
    learnt = Learnt(*mixed(), "ridge")

    assert bundles.load(learnt.bundled().digest).schema == Schema.from_json(learnt.schema.to_json())
