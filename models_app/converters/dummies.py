"""Estimators that answer every row alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import numpy_helper

from models_app.converters.writing import Writer


def regression(write: Writer, operator: Any) -> None:
    """The same number for every row."""
    fitted = operator.raw_operator
    write.give(_repeated(write, operator, fitted.constant_), operator.outputs[0])


def classification(write: Writer, operator: Any) -> None:
    """The same class and probabilities for every row."""
    fitted = operator.raw_operator
    if fitted.strategy in ("stratified", "uniform"):
        raise NotImplementedError(f"a DummyClassifier that guesses ({fitted.strategy})")
    row = np.zeros((1, fitted.n_features_in_)) if hasattr(fitted, "n_features_in_") else [[0.0]]
    label, second = operator.outputs
    answered = np.asarray(fitted.classes_) == fitted.predict(row)[0]
    write.give_labels(_repeated(write, operator, answered), fitted.classes_, label)
    write.give(_repeated(write, operator, fitted.predict_proba(row)), second)


def _repeated(write: Writer, operator: Any, values: Any) -> str:
    """The values, as often as there are rows: shape (n, values)."""
    one = write.node("Gather", write.rows(operator), write.constant([0], np.int64), axis=1)
    unit = numpy_helper.from_array(np.array([1.0]))
    ones = write.node("ConstantOfShape", write.node("Shape", one), value=unit)
    return write.node("MatMul", ones, write.constant(np.reshape(values, (1, -1))))
