"""Answers from the scikit-learn estimator itself, for those that ONNX cannot express truly.

Importing this module costs the process scikit-learn and pandas, and each row about a hundred
times what ONNX costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sklearn
from sklearn.pipeline import Pipeline
from skops import io as skops_io

from models_app.learning.answers import Answers
from models_app.learning.kinds import Columns
from models_app.learning.tables import framed
from models_app.refusals import BundleRefused
from models_app.runtimes.estimator_checks import check_file
from models_app.runtimes.refusing import UNTRUSTED
from models_app.time_limits import helpers

FILE = "estimator.skops"


class EstimatorRuntime:
    """A fitted scikit-learn classifier or regressor, asked with a DataFrame of the columns."""

    def __init__(self, estimator: Any, *, classes: tuple[str, ...]) -> None:
        self._estimator = estimator
        self._classes = classes

    @classmethod
    def load(cls, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> EstimatorRuntime:
        made_with = manifest["libraries"]["scikit-learn"]
        if made_with != sklearn.__version__:
            raise BundleRefused(
                f"made with scikit-learn {made_with}, here is {sklearn.__version__}; retrain",
                code="environment_mismatch",
            )
        return cls(loads(files[FILE]), classes=tuple(manifest["classes"]))

    def answer(self, columns: Columns, *, within: float | None = None) -> Answers:
        if within is None:
            return self._answer(columns)
        return helpers.carry_out(lambda: self._answer(columns), within)

    def _answer(self, columns: Columns) -> Answers:
        estimator, rows = self._estimator, framed(columns)
        if isinstance(estimator, Pipeline):
            # Preprocessing is most of the cost; both questions below share one.
            rows, estimator = estimator[:-1].transform(rows), estimator[-1]
        values = np.asarray(estimator.predict(rows))
        if not self._classes:
            return Answers(values.astype(np.float64).ravel())
        values = values.astype(str).astype(object)
        if not hasattr(estimator, "predict_proba"):
            return Answers(values, None, self._classes)
        return Answers(values, np.asarray(estimator.predict_proba(rows)), self._classes)


def dumps(estimator: Any) -> bytes:
    """The estimator as a skops file. Raises BundleRefused when it would not be loaded again."""
    try:
        file: bytes = skops_io.dumps(estimator)
    except Exception as error:
        # skops has no error of its own for what it cannot write.
        raise BundleRefused(
            f"it cannot be written as a skops file: {error!r:.200}", code=UNTRUSTED
        ) from error
    check_file(file)
    return file


def loads(file: bytes) -> Any:
    """The estimator in a skops file. Raises BundleRefused when it holds other types than ours."""
    # skops asks for names beside its own list; these have all been held against ours.
    return skops_io.loads(file, trusted=check_file(file))
