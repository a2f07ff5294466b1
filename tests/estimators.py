"""Estimators that tests declare by their dotted path."""

from __future__ import annotations

from sklearn.impute import SimpleImputer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import Pipeline


def counting() -> Pipeline:
    """What learns from counts, and fails to be trained with a negative number."""
    return Pipeline([("columns", SimpleImputer()), ("estimator", MultinomialNB())])
