"""Linear classifiers that skl2onnx converts in float32 only, or with other probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from models_app.converters.writing import Writer


def classification(write: Writer, operator: Any) -> None:
    """The class of the largest score; probabilities where the classifier has any."""
    fitted = operator.raw_operator
    label, second = operator.outputs
    scores = each = _scores(write, operator)
    if len(fitted.classes_) == 2:
        each = write.node("Concat", write.node("Neg", scores), scores, axis=1)
    write.give_labels(each, fitted.classes_, label)
    if hasattr(fitted, "predict_proba"):
        write.give(write.probabilities(scores, len(fitted.classes_)), second)
    else:
        # A calibration asks for the scores of both classes.
        write.give(each if write.has_option(fitted, "raw_scores") else scores, second)


def _scores(write: Writer, operator: Any) -> str:
    """The scores, one for each class, or one alone for the second of two."""
    fitted = operator.raw_operator
    weights = np.atleast_2d(fitted.coef_).T
    start = np.broadcast_to(fitted.intercept_, (1, weights.shape[1]))
    product = write.node("MatMul", write.rows(operator), write.constant(weights))
    return write.node("Add", product, write.constant(start))
