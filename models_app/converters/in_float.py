"""Estimators for which ONNX has operators in float32 only: cast before them, and back after."""

from __future__ import annotations

from typing import Any

import numpy as np
from skl2onnx.common._registration import get_converter
from skl2onnx.common._topology import Operator
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

from models_app.converters.writing import Writer


def in_float(scope: Any, operator: Any, container: Any) -> None:
    """Convert as skl2onnx does, in float32, what stands among operators in double.

    scikit-learn's own trees cast their rows to float32 in the same place.
    """
    convert, write = get_converter(operator.type), Writer(scope, container)
    if not any(type(one.type) is DoubleTensorType for one in operator.inputs):
        convert(scope, operator, container)
        return
    inner = Operator(
        operator.onnx_name,
        operator.scope,
        operator.type,
        operator.raw_operator,
        operator.target_opset,
        operator.scope_inst,
    )
    # By `list`, as else each variable would take note of an operator that the graph has not.
    for one in operator.inputs:
        list.append(inner.inputs, narrow := _narrow(scope, one))
        if narrow is not one:
            write.cast(one.full_name, np.float32, output=narrow.full_name)
    for one in operator.outputs:
        list.append(inner.outputs, narrow := _narrow(scope, one))
        if narrow is not one:
            write.cast(narrow.full_name, np.float64, output=one.full_name)
    convert(scope, inner, container)


def _narrow(scope: Any, variable: Any) -> Any:
    """A new variable in float32 for one in double; all others as they are."""
    if type(variable.type) is not DoubleTensorType:
        return variable
    name = f"{variable.raw_name}_float"
    return scope.declare_local_variable(name, FloatTensorType(variable.type.shape))
