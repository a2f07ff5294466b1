"""Attributes of a `Record`, each refused unless it is of the kind that compiled code expects."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from models_app.runtimes.refusing import expect, refuse
from models_app.runtimes.skops_nodes import Record


def integer(value: Any, what: str, *, least: int = 0, most: int = 2**31 - 1) -> int:
    """The value, refused unless it is an integer between `least` and `most`."""
    if isinstance(value, np.integer):
        value = int(value)
    expect(type(value) is int and least <= value <= most, f"{what} is {value!r:.40}")
    return int(value)


def array(value: Any, what: str, dtype: DTypeLike, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """The value, refused unless it is an array of that type and shape; None: of any length."""
    if not isinstance(value, np.ndarray) or value.dtype != np.dtype(dtype):
        refuse(f"{what} is no array of {np.dtype(dtype)!s:.80}")
    alike = len(value.shape) == len(shape) and all(
        wanted is None or size == wanted for size, wanted in zip(value.shape, shape, strict=True)
    )
    expect(alike, f"{what} has the shape {value.shape}, {shape} is expected")
    return value


def record(value: Any, what: str, types: Collection[str]) -> Record:
    """The value, refused unless it is an object of one of these types."""
    if not isinstance(value, Record) or value.type not in types:
        given = value.type if isinstance(value, Record) else type(value).__name__
        refuse(f"{what} is a {given}, one of {sorted(types)} is expected")
    return value


def features_of(owner: Record) -> int:
    """How many features an estimator checks its rows for; refused where it would not check."""
    return integer(owner.get("n_features_in_"), f"n_features_in_ of {short(owner)}", least=1)


def is_fitted(owner: Record, *attributes: str) -> bool:
    """Whether it has any of the attributes that a fit gives it; else scikit-learn refuses it."""
    return any(isinstance(owner.state, dict) and one in owner.state for one in attributes)


def short(owner: Record) -> str:
    """The name of a type without its module."""
    return owner.type.rpartition(".")[2]
