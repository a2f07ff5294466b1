"""Transformers in double that skl2onnx converts in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import numpy_helper
from skl2onnx.common._registration import get_converter
from skl2onnx.common.data_types import DoubleTensorType

from models_app.converters.writing import Writer


def impute(scope: Any, operator: Any, container: Any) -> None:
    """A statistic in the place of each missing number; onnxruntime's Imputer knows no double."""
    if not _is_plain(operator):
        get_converter(operator.type)(scope, operator, container)
        return
    write, fills = Writer(scope, container), operator.raw_operator.statistics_
    rows, filled = operator.inputs[0].full_name, operator.outputs[0].full_name
    missing = write.node("IsNaN", rows)
    write.node("Where", missing, write.constant(fills.reshape(1, -1)), rows, output=filled)


def _is_plain(operator: Any) -> bool:
    imputer = operator.raw_operator
    fills = np.asarray(imputer.statistics_)
    return (
        [type(one.type) for one in operator.inputs] == [DoubleTensorType]
        and isinstance(imputer.missing_values, float)
        and np.isnan(imputer.missing_values)
        and fills.dtype.kind == "f"
        # A column that had no value at all is left out.
        and bool(np.isfinite(fills).all())
        and not imputer.add_indicator
    )


def polynomial(write: Writer, operator: Any) -> None:
    """Products of columns, each of as many factors as the longest, ones in the place of none."""
    powers = np.asarray(operator.raw_operator.powers_)
    longest = max(1, int(powers.sum(axis=1).max()))
    factors = np.full((len(powers), longest), powers.shape[1])
    for product, times in zip(factors, powers, strict=True):
        columns = np.repeat(np.arange(len(times)), times)
        product[: len(columns)] = columns
    rows = write.rows(operator)
    one = write.node("Gather", rows, write.constant([0], np.int64), axis=1)
    unit = numpy_helper.from_array(np.array([1.0]))
    ones = write.node("ConstantOfShape", write.node("Shape", one), value=unit)
    whole = write.node("Concat", rows, ones, axis=1)
    taken = write.node("Gather", whole, write.constant(factors, np.int64), axis=1)
    axis = write.constant([2], np.int64)
    write.give(write.node("ReduceProd", taken, axis, keepdims=0), operator.outputs[0])
