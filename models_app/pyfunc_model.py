"""What MLflow's `pyfunc` loads of a version: its estimator, asked with raw rows.

Nothing here imports this file. A copy of it lies in the version's folder in MLflow (see
`pyfunc_package`) and runs where EverLearn is not installed, so it needs nothing but NumPy, pandas,
MLflow and the parts of `models_app.learning` that are copied with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray

from models_app.learning.frames import raw_instances
from models_app.learning.schema import InvalidInstances, Schema

# Of the bundle, as `bundles` names it.
MANIFEST = "everlearn/manifest.json"
METHODS = ("predict", "predict_proba")


class RawRowsModel:
    """A fitted estimator that takes rows of the declared features, as EverLearn's REST does."""

    def __init__(self, estimator: Any, schema: Schema) -> None:
        self._estimator = estimator
        self._schema = schema
        self._classes = [str(one) for one in getattr(estimator, "classes_", ())]

    def predict(
        self, rows: pd.DataFrame, params: Mapping[str, Any] | None = None
    ) -> NDArray[Any] | pd.DataFrame:
        """What REST calls `value`, shape (n,): classes as str, or float64 in regression.

        params: `{"predict_method": "predict_proba"}` asks for a DataFrame with a column of
        probabilities for each class instead. Raises MlflowException for rows that REST would
        refuse, with the same words, and for probabilities where the estimator gives none.
        """
        method = (params or {}).get("predict_method", "predict")
        if method not in METHODS or not hasattr(self._estimator, method):
            raise MlflowException.invalid_parameter_value(
                f"The model has no predict_method {method!r}. "
                f"Ask for {' or '.join(one for one in METHODS if hasattr(self._estimator, one))}."
            )
        answers = getattr(self._estimator, method)(self._encoded(rows))
        if method == "predict_proba":
            return pd.DataFrame(answers, columns=self._classes, index=rows.index)
        if self._classes:
            return np.asarray(answers).astype(str).astype(object)
        return np.asarray(answers, dtype=np.float64).ravel()

    def _encoded(self, rows: pd.DataFrame) -> pd.DataFrame:
        instances = raw_instances(rows, self._schema)
        if not instances:
            raise MlflowException.invalid_parameter_value(
                "At least one row with a column of the model is expected."
            )
        try:
            self._schema.check(instances, prefix="rows")
        except InvalidInstances as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        columns = self._schema.columns(self._schema.normalized(instances))
        # With their dtypes: pandas would make texts another one, which the estimator never saw.
        return pd.DataFrame(
            {name: pd.Series(column, dtype=column.dtype) for name, column in columns.items()}
        )


def _load_pyfunc(path: str) -> RawRowsModel:
    """Called by MLflow. path: the version's folder, in which the bundle names the features."""
    manifest = json.loads((Path(path) / MANIFEST).read_bytes())
    return RawRowsModel(mlflow.sklearn.load_model(path), Schema.from_json(manifest["features"]))
