"""Estimators that tests declare by their dotted path."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.impute import SimpleImputer
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.pipeline import Pipeline


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
