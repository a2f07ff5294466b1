"""How large what an ONNX graph computes becomes for a thousand rows, before it computes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx
from onnx import NodeProto, TensorProto, TypeProto
from onnx.helper import make_tensor, make_tensor_type_proto

from models_app.runtimes.onnx_operators import MICROSOFT, ML, STANDARD
from models_app.runtimes.refusing import expect, refuse

ROWS = 1000
# Of one value: a thousand rows of the widest texts take a tenth of it.
MOST_NUMBERS = 1 << 28
# Of values that no row changes: onnxruntime computes those while it loads a graph.
MOST_CONSTANT_NUMBERS = 1 << 24

LONGEST_SHAPE = 64

Shape = tuple[int | None, ...] | None


class Shapes:
    """The type and shape of every value of a graph, as far as they can be known beforehand."""

    def __init__(self, versions: Mapping[str, int]) -> None:
        self._versions = versions
        self._types: dict[str, TypeProto | None] = {}
        self._constants: dict[str, TensorProto | None] = {}
        # What `Shape` gives for a thousand rows, for those nodes that make something as large.
        self._sizes: dict[str, TensorProto] = {}

    def define(self, name: str, kind: TypeProto | None) -> None:
        """Take note of an input, or of what a node gives."""
        expect(name not in self._types, f"two values of its graph are called {name!r:.60}")
        self._types[name] = kind

    def constant(self, tensor: TensorProto) -> None:
        """Take note of an initializer."""
        self.define(tensor.name, make_tensor_type_proto(tensor.data_type, list(tensor.dims)))
        # Only a short one can be a shape; a long one would be copied for each node that takes it.
        short = math.prod(tensor.dims) <= LONGEST_SHAPE
        self._constants[tensor.name] = tensor if short else None

    def __contains__(self, name: str) -> bool:
        return name in self._types

    def of(self, name: str) -> Shape:
        """The shape of a value; None where it, or one of its sizes, is not known."""
        kind = self._types.get(name)
        if kind is None or not kind.tensor_type.HasField("shape"):
            return None
        return tuple(
            one.dim_value if one.HasField("dim_value") else None
            for one in kind.tensor_type.shape.dim
        )

    def width(self, node: NodeProto) -> int:
        """How many columns the rows of a node have. Refuses a node where that is not known."""
        shape = self.of(node.input[0])
        if shape is None or not 1 <= len(shape) <= 2 or shape[-1] is None:
            refuse(f"the number of columns that its {node.op_type} gets is not known")
        return shape[-1]

    def infer(self, node: NodeProto) -> None:
        """Define what a node gives. Refuses a node that gives more than the bounds."""
        given = {name: self._types.get(name) for name in node.input if name}
        inferred = self._inferred(node, given)
        is_constant = all(name in self._constants for name in given)
        for name in filter(None, node.output):
            self.define(name, inferred.get(name))
            if is_constant:
                self._constants[name] = None
            _bound(node, self.of(name), is_constant=is_constant)
        if node.op_type == "Shape" and not node.attribute:
            self._remember_sizes(node.output[0], self.of(node.input[0]) or ())

    def _remember_sizes(self, name: str, shape: Sequence[int | None]) -> None:
        sizes = [size for size in shape if size is not None]
        if sizes and len(sizes) == len(shape):
            self._sizes[name] = make_tensor(name, TensorProto.INT64, [len(sizes)], sizes)

    def _inferred(self, node: NodeProto, given: Mapping[str, Any]) -> dict[str, Any]:
        if node.domain == MICROSOFT:
            # Each text becomes as many words as it has.
            lead = self.of(node.input[0])
            return _types(node, [(TensorProto.STRING, None if lead is None else (*lead, None))])
        if node.domain == ML:
            return _by_hand(node, self.of(node.input[0]), self.element(node.input[0]), self)
        if node.domain != STANDARD or node.op_type == "Scan" or None in given.values():
            return {}
        values = self._constants | self._sizes
        known = {name: one for name in given if (one := values.get(name)) is not None}
        try:
            schema = onnx.defs.get_schema(node.op_type, self._versions[STANDARD], STANDARD)
            return dict(onnx.shape_inference.infer_node_outputs(schema, node, dict(given), known))
        except (onnx.shape_inference.InferenceError, onnx.defs.SchemaError, RuntimeError) as error:
            refuse(f"its {node.op_type} makes no sense: {str(error).strip()[-100:]}")

    def element(self, name: str) -> int:
        """The type of a value's items; float32 where it is not known."""
        kind = self._types.get(name)
        return TensorProto.FLOAT if kind is None else kind.tensor_type.elem_type


def _bound(node: NodeProto, shape: Shape, *, is_constant: bool) -> None:
    most = MOST_CONSTANT_NUMBERS if is_constant else MOST_NUMBERS
    known = [] if shape is None else [size for size in shape if size is not None]
    if is_constant:
        expect(shape is not None and len(known) == len(shape),
               f"its {node.op_type} gives a constant of unknown size")  # fmt: skip
    expect(math.prod(known) <= most, f"its {node.op_type} gives {math.prod(known):,} numbers for "
           f"{ROWS} rows, at most {most:,} are allowed")  # fmt: skip


def _by_hand(node: NodeProto, shape: Shape, element: int, shapes: Shapes) -> dict[str, Any]:
    """The outputs of the operators for machine learning, for which onnx infers little."""
    rows = shape[0] if shape else None
    if node.op_type in _SAME:
        return _types(node, [(element, shape)])
    if node.op_type == "LabelEncoder":
        return _types(node, [(_encoded(node), shape)])
    if node.op_type == "ArrayFeatureExtractor":
        taken = shapes.of(node.input[1])
        sizes = [size for size in taken or (None,) if size is not None]
        count = math.prod(sizes) if len(sizes) == len(taken or (None,)) else None
        lead = (1,) if shape is None or len(shape) == 1 else shape[:-1]
        return _types(node, [(element, None if shape is None else (*lead, count))])
    if node.op_type == "OneHotEncoder":
        count = max((_length(one) for one in node.attribute), default=0)
        return _types(node, [(TensorProto.FLOAT, None if shape is None else (*shape, count))])
    if node.op_type in _REGRESSORS:
        return _types(node, [(TensorProto.FLOAT, (rows, _targets(node)))])
    return _types(node, [(_label_type(node), (rows,)), (TensorProto.FLOAT, (rows, _labels(node)))])


_SAME = frozenset({"Binarizer", "Imputer", "Normalizer", "Scaler"})
_REGRESSORS = frozenset({"LinearRegressor", "SVMRegressor", "TreeEnsembleRegressor"})


def _types(node: NodeProto, outputs: Sequence[tuple[int, Shape]]) -> dict[str, Any]:
    return {
        name: make_tensor_type_proto(element, None if shape is None else list(shape))
        for name, (element, shape) in zip(node.output, outputs, strict=False)
    }


def _length(attribute: Any) -> int:
    return len(attribute.strings) + len(attribute.ints) + len(attribute.floats)


def _named(node: NodeProto, test: Callable[[str], bool]) -> list[Any]:
    return [one for one in node.attribute if test(one.name) and _length(one)]


def _labels(node: NodeProto) -> int:
    return max(map(_length, _named(node, lambda name: name.startswith("classlabels"))), default=2)


def _label_type(node: NodeProto) -> int:
    texts = _named(node, lambda name: name == "classlabels_strings")
    return TensorProto.STRING if texts else TensorProto.INT64


def _encoded(node: NodeProto) -> int:
    if _named(node, lambda name: name == "values_strings"):
        return TensorProto.STRING
    whole = _named(node, lambda name: name == "values_int64s")
    return TensorProto.INT64 if whole else TensorProto.FLOAT


def _targets(node: NodeProto) -> int:
    given = [one.i for one in node.attribute if one.name in ("targets", "n_targets")]
    return given[0] if given else 1
