"""In which type columns go on once they are side by side."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from skl2onnx._parse import sklearn_parsers_map
from skl2onnx.common.data_types import DoubleTensorType, StringTensorType
from skl2onnx.sklapi import CastTransformer
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion


def parsers(*, always: bool) -> dict[type, Callable[..., Any]]:
    """Parsers for skl2onnx after which columns are in double if any of them is.

    skl2onnx goes by the first one, and a category or a text is in float32. always: in double
    also if none is, as the answers of a regression have more digits than its columns.
    """
    return {
        kind: partial(_parsed, (sklearn_parsers_map[kind], always))
        for kind in (ColumnTransformer, FeatureUnion)
    }


def _parsed(
    how: tuple[Callable[..., Any], bool], scope: Any, part: Any, inputs: Any, **rest: Any
) -> Any:
    parse, always = how
    outputs = parse(scope, part, inputs, **rest)
    whole = outputs[0]
    parts = _parts(scope, whole)
    if any(type(one.type) is DoubleTensorType for one in parts):
        whole.type = DoubleTensorType([None, None])
    elif always and not isinstance(whole.type, StringTensorType):
        return _widened(scope, whole)
    return outputs


def _parts(scope: Any, whole: Any) -> list[Any]:
    """What is put side by side to make a variable; itself, if nothing is."""
    for operator in reversed(list(scope.operators.values())):
        if operator.type == "SklearnConcat" and any(one is whole for one in operator.outputs):
            return list(operator.inputs)
    return [whole]


def _widened(scope: Any, value: Any) -> Any:
    cast = scope.declare_local_operator("SklearnCastTransformer", CastTransformer(dtype=np.float64))
    cast.inputs.append(value)
    cast.outputs.append(scope.declare_local_variable("in_double", DoubleTensorType([None, None])))
    return cast.outputs
