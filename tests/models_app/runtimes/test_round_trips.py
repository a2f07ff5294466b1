"""Usual scikit-learn estimators, named by dotted path, that bundles can hold."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import (
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from models_app import bundles
from models_app.conversion import make_bundle
from models_app.learning import pipeline, tables
from models_app.learning.agreement import difference, tolerance
from models_app.learning.schema import Feature, Schema
from models_app.runtimes import estimator as estimator_runtime
from models_app.runtimes.estimator import EstimatorRuntime
from tests.factories import SCHEMA, leaves

CLASSIFIERS = """
sklearn.calibration.CalibratedClassifierCV
sklearn.discriminant_analysis.LinearDiscriminantAnalysis
sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis
sklearn.dummy.DummyClassifier
sklearn.ensemble.AdaBoostClassifier
sklearn.ensemble.BaggingClassifier
sklearn.ensemble.ExtraTreesClassifier
sklearn.ensemble.GradientBoostingClassifier
sklearn.ensemble.HistGradientBoostingClassifier
sklearn.ensemble.RandomForestClassifier
sklearn.gaussian_process.GaussianProcessClassifier
sklearn.linear_model.LogisticRegression
sklearn.linear_model.Perceptron
sklearn.linear_model.RidgeClassifier
sklearn.linear_model.SGDClassifier
sklearn.naive_bayes.BernoulliNB
sklearn.naive_bayes.GaussianNB
sklearn.neighbors.KNeighborsClassifier
sklearn.neighbors.NearestCentroid
sklearn.neural_network.MLPClassifier
sklearn.svm.LinearSVC
sklearn.svm.NuSVC
sklearn.svm.SVC
sklearn.tree.DecisionTreeClassifier
sklearn.tree.ExtraTreeClassifier
""".split()  # noqa: SIM905
REGRESSORS = """
sklearn.cross_decomposition.PLSRegression
sklearn.dummy.DummyRegressor
sklearn.ensemble.AdaBoostRegressor
sklearn.ensemble.BaggingRegressor
sklearn.ensemble.ExtraTreesRegressor
sklearn.ensemble.GradientBoostingRegressor
sklearn.ensemble.HistGradientBoostingRegressor
sklearn.ensemble.RandomForestRegressor
sklearn.gaussian_process.GaussianProcessRegressor
sklearn.kernel_ridge.KernelRidge
sklearn.linear_model.BayesianRidge
sklearn.linear_model.ElasticNet
sklearn.linear_model.HuberRegressor
sklearn.linear_model.Lars
sklearn.linear_model.Lasso
sklearn.linear_model.LinearRegression
sklearn.linear_model.PoissonRegressor
sklearn.linear_model.Ridge
sklearn.linear_model.SGDRegressor
sklearn.linear_model.TweedieRegressor
sklearn.neighbors.KNeighborsRegressor
sklearn.neural_network.MLPRegressor
sklearn.svm.LinearSVR
sklearn.svm.NuSVR
sklearn.svm.SVR
sklearn.tree.DecisionTreeRegressor
""".split()  # noqa: SIM905


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with threadpool_limits(1), warnings.catch_warnings():
        # Small data and few turns are enough to hold a type.
        warnings.simplefilter("ignore")
        yield


def _fitted(estimator: Any, task: Any) -> tuple[Any, tuple[str, ...]]:
    frame = leaves(60)
    rows = tables.encode(frame, SCHEMA)
    if task == "classification":
        estimator.fit(rows, frame["kind"].to_numpy(dtype=object))
        return estimator, tuple(map(str, estimator.classes_))
    return estimator.fit(rows, (frame["length"] * frame["width"] + 1).to_numpy()), ()


def _round_trip(estimator: Any, task: Any) -> None:
    fitted, classes = _fitted(estimator, task)
    instances = tables.instances_of(leaves(60), SCHEMA)

    made = make_bundle(
        fitted, name="leaves", schema=SCHEMA, task=task, classes=classes, instances=instances
    )

    columns = SCHEMA.columns(instances)
    original = EstimatorRuntime(fitted, classes=classes).answer(columns)
    given = bundles.load(made.digest).answer(columns)
    assert difference(original, given) <= tolerance(original)
    # The form that is kept where ONNX fails holds for each of them, too.
    again = estimator_runtime.loads(estimator_runtime.dumps(fitted))
    kept = EstimatorRuntime(again, classes=classes).answer(columns)
    assert difference(original, kept) == 0


@pytest.mark.parametrize("path", CLASSIFIERS)
def test_a_usual_classifier_comes_back_from_its_bundle(path: str) -> None:
    _round_trip(
        pipeline.build(path, schema=SCHEMA, task="classification", seed=0), "classification"
    )


@pytest.mark.parametrize("path", REGRESSORS)
def test_a_usual_regressor_comes_back_from_its_bundle(path: str) -> None:
    _round_trip(pipeline.build(path, schema=SCHEMA, task="regression", seed=0), "regression")


LAST = LogisticRegression()
PIPELINES = {
    "voting": VotingClassifier([("a", LAST), ("b", DecisionTreeClassifier(random_state=0))]),
    "stacking": StackingClassifier([("a", DecisionTreeClassifier()), ("b", GaussianNB())], cv=2),
    "threshold": TunedThresholdClassifierCV(LogisticRegression(), cv=2),
    "fixed threshold": FixedThresholdClassifier(LogisticRegression(), threshold=0.4),
    "one against the rest": OneVsRestClassifier(LogisticRegression()),
    "PCA": make_pipeline(StandardScaler(), PCA(1), LAST),
    "best features": make_pipeline(SelectKBest(k=1), LAST),
    "union": make_pipeline(make_union(PCA(1), SelectKBest(k=1)), LAST),
    "polynomials": make_pipeline(PolynomialFeatures(2), StandardScaler(), LAST),
    "bins": make_pipeline(KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf"), LAST),
    "one-hot": make_pipeline(
        KBinsDiscretizer(8, encode="ordinal", strategy="uniform"),
        OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=8, drop="first"),
        LAST,
    ),
    "ordinal": make_pipeline(OrdinalEncoder(handle_unknown="use_encoded_value",
                                            unknown_value=-1), LAST),
    "target encoder": make_pipeline(TargetEncoder(cv=2, random_state=0), LAST),
}  # fmt: skip


@pytest.mark.parametrize("name", PIPELINES)
def test_a_composed_classifier_comes_back_from_its_bundle(name: str) -> None:
    made = PIPELINES[name]
    whole = made if isinstance(made, Pipeline) else make_pipeline(StandardScaler(), made)

    _round_trip(whole, "classification")


def test_a_transformed_target_comes_back_from_its_bundle() -> None:
    made = TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1)

    _round_trip(make_pipeline(StandardScaler(), made), "regression")


@pytest.mark.parametrize("last", [SVC(), LogisticRegression()], ids=["support vectors", "logistic"])
def test_an_estimator_fitted_on_sparse_texts_comes_back(last: Any) -> None:
    texts = np.array([f"word{place % 17} other{place % 5}" for place in range(60)], dtype=object)
    kinds = np.array(["a" if place % 2 else "b" for place in range(60)], dtype=object)
    made = make_pipeline(TfidfVectorizer(), last).fit(texts, kinds)

    again = estimator_runtime.loads(estimator_runtime.dumps(made))

    assert (again.predict(texts) == made.predict(texts)).all()


@pytest.mark.parametrize("sign", ["#", "##", "###"])
def test_texts_that_hold_the_sign_which_pads_others_come_back_as_a_graph(sign: str) -> None:
    schema = Schema((Feature("text", "text"),))
    texts = [f"{sign}word{place % 7} o{sign}r{place % 5}" for place in range(60)]
    numbers = np.arange(60) % 7 * 1.0
    instances = [{"text": text} for text in texts]
    made = pipeline.build("ridge", schema=schema, task="regression", seed=0)
    made.fit(tables.framed(schema.columns(instances)), numbers)

    bundle = make_bundle(
        made, name="texts", schema=schema, task="regression", classes=(), instances=instances
    )

    assert bundle.runtime == "onnx"
    bundles.load(bundle.digest)


def test_a_schema_with_texts_has_truncated_components_too() -> None:
    schema = Schema((Feature("text", "text"),))
    texts = [f"word{place % 7} other{place % 5}" for place in range(60)]
    kinds = np.array(["a" if "word1" in text else "b" for text in texts], dtype=object)
    instances = [{"text": text} for text in texts]
    made = pipeline.build("ridge", schema=schema, task="classification", seed=0)
    made.steps.insert(1, ("svd", TruncatedSVD(3, random_state=0)))
    made.fit(tables.framed(schema.columns(instances)), kinds)

    digest = make_bundle(made, name="texts", schema=schema, task="classification",
                         classes=("a", "b"), instances=instances).digest  # fmt: skip

    assert bundles.load(digest).answer(schema.columns(instances)).values.tolist()
