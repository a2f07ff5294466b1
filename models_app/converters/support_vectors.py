"""Regression by support vectors in double: ONNX's SVMRegressor answers in float32."""

from __future__ import annotations

from typing import Any

import numpy as np

from models_app.converters.writing import Writer


def regression(write: Writer, operator: Any) -> None:
    """The sum of the kernel's values with each support vector, weighted, and the intercept."""
    fitted = operator.raw_operator
    weights = write.constant(np.asarray(fitted.dual_coef_).T)
    total = write.node("MatMul", _kernel(write, write.rows(operator), fitted), weights)
    answer = write.node("Add", total, write.constant(fitted.intercept_))
    write.give(answer, operator.outputs[0])


def _kernel(write: Writer, rows: str, fitted: Any) -> str:
    """The kernel's values, of shape (n, support vectors)."""
    vectors, gamma = np.asarray(fitted.support_vectors_), write.constant([fitted._gamma])
    if fitted.kernel == "rbf":
        return write.node("Exp", write.node("Mul", _less_squares(write, rows, vectors), gamma))
    products = write.node("MatMul", rows, write.constant(vectors.T))
    if fitted.kernel == "linear":
        return products
    shifted = write.node("Mul", products, gamma)
    shifted = write.node("Add", shifted, write.constant([fitted.coef0]))
    if fitted.kernel == "poly":
        return write.node("Pow", shifted, write.constant([fitted.degree]))
    if fitted.kernel == "sigmoid":
        return write.node("Tanh", shifted)
    raise NotImplementedError(f"support vectors with the kernel {fitted.kernel!r}")


def _less_squares(write: Writer, rows: str, vectors: Any) -> str:
    """The squared distances from each vector, below zero."""
    # Around their middle, as squares of large numbers would lose what these differ by.
    middle = vectors.mean(axis=0, keepdims=True)
    rows, vectors = write.node("Sub", rows, write.constant(middle)), vectors - middle
    squares = write.node("ReduceSumSquare", rows, write.constant([1], np.int64), keepdims=1)
    twice = write.node("MatMul", rows, write.constant(2 * vectors.T))
    apart = write.node("Sub", twice, squares)
    return write.node("Sub", apart, write.constant((vectors**2).sum(axis=1).reshape(1, -1)))
