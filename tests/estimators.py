"""Estimators that tests declare by their dotted path."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder


def counting() -> Pipeline:
    """What learns from counts, and fails to be trained with a negative number."""
    return Pipeline([("columns", SimpleImputer()), ("estimator", MultinomialNB())])


def by_folds() -> CalibratedClassifierCV:
    """What divides the rows of each class into five parts."""
    return CalibratedClassifierCV(GaussianNB(), cv=5)


class _Picky(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    def fit(self, rows: Any, targets: Any) -> Any:
        raise self._fault()

    def predict(self, rows: Any) -> Any:
        return rows

    def _fault(self) -> Exception:
        return ValueError("Input X contains infinity or a value too large for dtype('float64').")


class _Broken(_Picky):
    def _fault(self) -> Exception:
        return KeyError("/srv/somewhere/secret.parquet")


def without_zeros() -> BaseEstimator:
    """What finds that a number is too large for it."""
    return _Picky()


def broken() -> BaseEstimator:
    """What has a mistake in it."""
    return _Broken()


def native_categories() -> Pipeline:
    """Gradient boosting that knows the column `colour` as categories, behind an encoder."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer(
        (encoder, ["colour"]), remainder="passthrough", verbose_feature_names_out=False
    )
    model = HistGradientBoostingClassifier(
        categorical_features=[0], max_iter=40, early_stopping=False
    )
    return Pipeline([("columns", columns), ("model", model)])
