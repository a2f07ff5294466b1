"""Support vector machines whose arrays have the lengths that libsvm computes from others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import sparse

from models_app.runtimes import allowed_types as allowed
from models_app.runtimes.attributes import array, features_of, is_fitted, short
from models_app.runtimes.refusing import expect
from models_app.runtimes.skops_nodes import Objects, Record

KERNELS = frozenset({"linear", "poly", "rbf", "sigmoid"})


def check_support_vectors(owner: Record) -> None:
    """Refuse a machine that libsvm would read or write beyond the end of."""
    name = short(owner)
    kernel = owner.get("kernel")
    expect(kernel in KERNELS, f"the kernel {kernel!r:.40} of {name} is not allowed; use one of "
           f"{', '.join(sorted(KERNELS))}")  # fmt: skip
    if not is_fitted(owner, "support_", "support_vectors_", "_dual_coef_"):
        return
    is_sparse = owner.get("_sparse")
    expect(type(is_sparse) is bool, f"{name} does not say whether it is sparse")
    vectors = owner.get("support_vectors_")
    count, width = _shape(vectors, is_sparse=is_sparse, what=f"the support vectors of {name}")
    expect(width == features_of(owner), f"the support vectors of {name} have another width")
    classes = _classes(owner, count)
    pairs = classes * (classes - 1) // 2
    array(owner.get("support_"), "support_", np.int32, (count,))
    _check_coefficients(owner, is_sparse=is_sparse, shape=(classes - 1, count))
    for one in ("_intercept_", "intercept_"):
        array(owner.get(one), one, np.float64, (pairs,))
    for one in ("_probA", "_probB"):
        length = pairs if owner.get("_effective_probability") else 0
        given = array(owner.get(one), one, np.float64, (None,))
        expect(len(given) in (length, pairs), f"{one} of {name} has another length")


def _shape(vectors: Any, *, is_sparse: bool, what: str) -> tuple[int, int]:
    if is_sparse:
        csr = sparse.issparse(vectors) and vectors.format == "csr"
        expect(csr and vectors.dtype == np.float64, f"{what} are no sparse rows")
    else:
        array(vectors, what, np.float64, (None, None))
    count, width = vectors.shape
    return count, width


def _classes(owner: Record, count: int) -> int:
    """How many classes libsvm takes it to have: two in regression."""
    by_class = array(owner.get("_n_support"), "_n_support", np.int32, (None,))
    if short(owner) in ("SVR", "NuSVR"):
        expect(len(by_class) == 2, "_n_support of a regression has another length than 2")
        return 2
    classes = owner.get("classes_")
    known = isinstance(classes, np.ndarray | Objects) and len(classes) == len(by_class) >= 2
    expect(known, "_n_support has another length than classes_")
    whole = (by_class >= 0).all() and int(by_class.sum()) == count
    expect(whole, "_n_support does not add up to the support vectors")
    return len(by_class)


def _check_coefficients(owner: Record, *, is_sparse: bool, shape: tuple[int, int]) -> None:
    for one in ("_dual_coef_", "dual_coef_"):
        given = owner.get(one)
        if is_sparse:
            whole = sparse.issparse(given) and given.data.shape == (shape[0] * shape[1],)
            expect(whole and given.dtype == np.float64, f"{one} has another length")
        else:
            array(given, one, np.float64, shape)


CHECKS: Mapping[str, Any] = dict.fromkeys(allowed.SUPPORT_VECTORS, check_support_vectors)
