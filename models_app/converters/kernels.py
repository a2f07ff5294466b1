"""Regression by kernels in double: sums of how near a row is to rows that were learnt from."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    Product,
    Sum,
    WhiteKernel,
)

from models_app.converters.writing import Writer


def support_vectors(write: Writer, operator: Any) -> None:
    """SVR and NuSVR; ONNX's SVMRegressor answers in float32."""
    fitted = operator.raw_operator
    values = _values(write, write.rows(operator), fitted.support_vectors_, fitted, fitted._gamma)
    _give(write, operator, values, fitted.dual_coef_, start=fitted.intercept_)


def kernel_ridge(write: Writer, operator: Any) -> None:
    """Ridge regression over a kernel that has a name."""
    fitted = operator.raw_operator
    vectors = np.asarray(fitted.X_fit_)
    gamma = 1 / vectors.shape[1] if fitted.gamma is None else fitted.gamma
    values = _values(write, write.rows(operator), vectors, fitted, gamma)
    _give(write, operator, values, fitted.dual_coef_)


def gaussian_process(write: Writer, operator: Any) -> None:
    """The mean of a Gaussian process, for sums and products of the simpler kernels."""
    fitted = operator.raw_operator
    values = _of_process(write, write.rows(operator), np.asarray(fitted.X_train_), fitted.kernel_)
    _give(write, operator, values, fitted.alpha_ * fitted._y_train_std, start=fitted._y_train_mean)


def _give(write: Writer, operator: Any, values: str, weights: Any, *, start: Any = 0.0) -> None:
    total = write.node("MatMul", values, write.constant(np.reshape(weights, (-1, 1))))
    answer = write.node("Add", total, write.constant(np.ravel(start)))
    write.give(answer, operator.outputs[0])


def _values(write: Writer, rows: str, vectors: Any, fitted: Any, gamma: float) -> str:
    """How near each row is to each vector, shape (n, vectors), by a kernel that has a name."""
    if fitted.kernel == "rbf":
        apart = _less_squares(write, rows, vectors)
        return write.node("Exp", write.node("Mul", apart, write.constant([gamma])))
    products = write.node("MatMul", rows, write.constant(np.transpose(vectors)))
    if fitted.kernel == "linear":
        return products
    shifted = write.node("Mul", products, write.constant([gamma]))
    shifted = write.node("Add", shifted, write.constant([fitted.coef0]))
    if fitted.kernel in ("poly", "polynomial"):
        return write.node("Pow", shifted, write.constant([fitted.degree]))
    if fitted.kernel == "sigmoid":
        return write.node("Tanh", shifted)
    raise NotImplementedError(f"the kernel {fitted.kernel!r:.40}")


def _of_process(write: Writer, rows: str, vectors: Any, kernel: Any) -> str:
    if isinstance(kernel, Sum | Product):
        parts = (_of_process(write, rows, vectors, one) for one in (kernel.k1, kernel.k2))
        return write.node("Add" if isinstance(kernel, Sum) else "Mul", *parts)
    if isinstance(kernel, ConstantKernel):
        return write.constant([[kernel.constant_value]])
    if isinstance(kernel, WhiteKernel):
        # Noise of the rows that were learnt from; no other row is one of them.
        return write.constant([[0.0]])
    if isinstance(kernel, DotProduct):
        products = write.node("MatMul", rows, write.constant(vectors.T))
        return write.node("Add", products, write.constant([kernel.sigma_0**2]))
    if type(kernel) is RBF:
        length = np.broadcast_to(kernel.length_scale, (1, vectors.shape[1]))
        scaled = write.node("Div", rows, write.constant(length))
        apart = _less_squares(write, scaled, vectors / length)
        return write.node("Exp", write.node("Mul", apart, write.constant([0.5])))
    raise NotImplementedError(f"a Gaussian process with {type(kernel).__name__}")


def _less_squares(write: Writer, rows: str, vectors: Any) -> str:
    """The squared distances from each vector, below zero."""
    # Around their middle, as squares of large numbers would lose what these differ by.
    middle = np.mean(vectors, axis=0, keepdims=True)
    rows, vectors = write.node("Sub", rows, write.constant(middle)), vectors - middle
    squares = write.node("ReduceSumSquare", rows, write.constant([1], np.int64), keepdims=1)
    twice = write.node("MatMul", rows, write.constant(2 * vectors.T))
    apart = write.node("Sub", twice, squares)
    return write.node("Sub", apart, write.constant((vectors**2).sum(axis=1).reshape(1, -1)))
