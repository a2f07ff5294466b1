"""What a converter writes to: the graph that skl2onnx is making."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from onnx import numpy_helper
from onnx.helper import np_dtype_to_tensor_dtype
from skl2onnx.common.data_types import DoubleTensorType


class Writer:
    """Adds nodes and constants to a graph. Values go by their names."""

    def __init__(self, scope: Any, container: Any) -> None:
        self.scope, self._container = scope, container

    def node(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node with one output and return its name, a new one unless it is given."""
        name = output or self.new_name(operator.lower())
        self._container.add_node(
            operator,
            list(inputs),
            name,
            name=self.scope.get_unique_operator_name(operator),
            **attributes,
        )
        return name

    def constant(self, value: ArrayLike, dtype: DTypeLike = np.float64) -> str:
        name, array = self.new_name("constant"), np.ascontiguousarray(value, dtype=dtype)
        self._container.add_initializer(name, None, None, numpy_helper.from_array(array, name))
        return name

    def cast(self, value: str, dtype: DTypeLike, *, output: str = "") -> str:
        to = np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.node("Cast", value, output=output, to=to)

    def rows(self, operator: Any) -> str:
        """What an operator gets, in double."""
        one = operator.inputs[0]
        if type(one.type) is DoubleTensorType:
            return str(one.full_name)
        return self.cast(one.full_name, np.float64)

    def give(self, value: str, output: Any) -> None:
        """Have a value in double be an output of an operator, in the type it is declared as."""
        if type(output.type) is DoubleTensorType:
            self.node("Identity", value, output=output.full_name)
        else:
            self.cast(value, np.float32, output=output.full_name)

    def probabilities(self, scores: str, classes: int) -> str:
        """What scores say: of shape (n, classes), or (n, 1) for the second of two classes."""
        if classes > 2:
            return self.node("Softmax", scores, axis=1)
        second = self.node("Sigmoid", scores)
        first = self.node("Sub", self.constant([1.0]), second)
        return self.node("Concat", first, second, axis=1)

    def give_labels(self, scores: str, classes: Any, output: Any) -> None:
        """Have the class of the largest of each row's scores be an output; of equals the first."""
        best = self.node("ArgMax", scores, axis=1, keepdims=0)
        is_text = isinstance(classes[0], str)
        kind, convert = ("strings", str) if is_text else ("int64s", int)
        self.node(
            "LabelEncoder",
            best,
            output=output.full_name,
            op_domain="ai.onnx.ml",
            op_version=2,
            keys_int64s=list(range(len(classes))),
            **{f"values_{kind}": [convert(one) for one in classes]},
        )

    def has_option(self, estimator: Any, name: str) -> bool:
        """Whether skl2onnx is to convert that estimator with an option that is off as a rule."""
        return bool(self._container.get_options(estimator, {name: False})[name])

    def new_name(self, like: str) -> str:
        return str(self.scope.get_unique_variable_name(like))


def converter(convert: Callable[[Writer, Any], None]) -> Callable[[Any, Any, Any], None]:
    """The converter, taking what skl2onnx gives to one."""

    def converted(scope: Any, operator: Any, container: Any) -> None:
        convert(Writer(scope, container), operator)

    return converted
