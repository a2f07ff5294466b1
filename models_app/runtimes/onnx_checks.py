"""Look at an ONNX graph before onnxruntime does: a graph from elsewhere is a program.

Refused: whatever lies outside of the graph (external data, which onnxruntime would read from
files), operators that our conversions do not make, control flow, functions of its own, sizes
beyond the bounds, and attributes that point outside of each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto
from onnx.helper import make_tensor_type_proto

from models_app.runtimes.onnx_ml_checks import check_node
from models_app.runtimes.onnx_operators import IN_A_SCAN, OPERATORS, STANDARD, VERSIONS
from models_app.runtimes.onnx_shapes import ROWS, Shapes
from models_app.runtimes.refusing import expect, refuse

MOST_BYTES = 1 << 30
MOST_NODES = 50_000
_IR_VERSIONS = range(3, 14)
# Bytes of a number in a tensor of each type, 0 for texts.
_SIZES: Mapping[int, int] = {
    TensorProto.FLOAT: 4, TensorProto.DOUBLE: 8, TensorProto.INT32: 4, TensorProto.INT64: 8,
    TensorProto.BOOL: 1, TensorProto.STRING: 0,
}  # fmt: skip
_INPUTS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.STRING)
_Kind = AttributeProto
_PLAIN = (_Kind.FLOAT, _Kind.INT, _Kind.STRING, _Kind.FLOATS, _Kind.INTS, _Kind.STRINGS)


def checked(content: bytes, inputs: Sequence[Sequence[str]]) -> bytes:
    """The graph, written anew from what was looked at, so that nothing else is left in it.

    inputs: the columns that each of its inputs takes. Raises BundleRefused, its code
    `artifact_untrusted`.
    """
    expect(len(content) <= MOST_BYTES, "its graph is larger than 1 GiB")
    try:
        model = ModelProto.FromString(content)
    except DecodeError:
        refuse("its graph is no ONNX")
    versions = _versions(model)
    graph = model.graph
    _refuse_beside(graph)
    expect(len(graph.node) <= MOST_NODES, f"its graph has over {MOST_NODES:,} nodes")
    shapes = Shapes(versions)
    _define(graph, inputs, shapes)
    for node in graph.node:
        _check(node, shapes)
        shapes.infer(node)
    outputs = [one.name for one in graph.output]
    known = outputs and all(name in shapes for name in outputs)
    expect(known and len(set(outputs)) == len(outputs), "its graph gives what it does not have")
    return _rewritten(model)


def _versions(model: ModelProto) -> Mapping[str, int]:
    expect(model.ir_version in _IR_VERSIONS, f"its graph is of ONNX's version {model.ir_version}")
    expect(not model.functions, "its graph brings functions of its own; only operators are allowed")
    expect(not model.training_info, "its graph brings a training of its own")
    expect(not model.metadata_props, "its graph brings settings of its own (metadata_props)")
    versions = {one.domain: one.version for one in model.opset_import}
    expect(len(versions) == len(model.opset_import), "its graph names a domain twice")
    for domain, version in versions.items():
        known = version in VERSIONS.get(domain, ())
        expect(known, f"its graph uses version {version} of the operators {domain!r:.40}")
    expect(STANDARD in versions, "its graph names no version of its operators")
    return versions


def _refuse_beside(graph: GraphProto) -> None:
    expect(not graph.sparse_initializer, "its graph has sparse weights")
    expect(not graph.quantization_annotation, "its graph has quantized weights")
    for tensor in graph.initializer:
        _check_tensor(tensor)


def _define(graph: GraphProto, inputs: Sequence[Sequence[str]], shapes: Shapes) -> None:
    expect(len(graph.input) == len(inputs), f"its graph has {len(graph.input)} inputs, the "
           f"manifest names {len(inputs)}")  # fmt: skip
    for one, columns in zip(graph.input, inputs, strict=True):
        kind = one.type.tensor_type
        expect(kind.elem_type in _INPUTS, f"the input {one.name!r:.60} is neither number nor text")
        dimensions = [size.dim_value for size in kind.shape.dim]
        alike = len(dimensions) == 2 and dimensions[1] == len(columns)
        expect(
            alike, f"the input {one.name!r:.60} has not the {len(columns)} columns of the manifest"
        )
        expect(
            not kind.shape.dim[0].dim_value, f"the input {one.name!r:.60} takes so many rows only"
        )
        shapes.define(one.name, make_tensor_type_proto(kind.elem_type, [ROWS, len(columns)]))
    for tensor in graph.initializer:
        shapes.constant(tensor)


def _check_tensor(tensor: TensorProto) -> None:
    name = tensor.name[:60]
    inside = tensor.data_location == TensorProto.DEFAULT and not tensor.external_data
    expect(inside, f"its weights {name!r} lie in a file of their own (external data)")
    expect(not tensor.HasField("segment"), f"its weights {name!r} are a part of others")
    expect(tensor.data_type in _SIZES, f"its weights {name!r} are of an unknown type")
    expect(all(size >= 0 for size in tensor.dims), f"its weights {name!r} have a size below zero")
    count, size = math.prod(tensor.dims), _SIZES[tensor.data_type]
    if tensor.raw_data:
        whole = len(tensor.raw_data) == count * size
    else:
        whole = count == max(
            len(tensor.float_data), len(tensor.int32_data), len(tensor.int64_data),
            len(tensor.string_data), len(tensor.double_data),
        )  # fmt: skip
    expect(whole, f"its weights {name!r} have another length than their shape")


def _check(node: NodeProto, shapes: Shapes) -> None:
    _check_operator(node)
    for name in filter(None, node.input):
        expect(name in shapes, f"its {node.op_type} takes {name!r:.60}, which there is not yet")
    for attribute in node.attribute:
        if attribute.type == _Kind.TENSOR:
            _check_tensor(attribute.t)
        elif attribute.type == _Kind.GRAPH:
            _check_body(attribute.g)
    if node.op_type == "Scan":
        turns = [one.i for one in node.attribute if one.name == "num_scan_inputs"]
        expect(turns == [1], "its Scan goes over other than one input")
    check_node(node, shapes)


def _check_operator(node: NodeProto) -> None:
    operator = f"{node.domain or 'ai.onnx'}:{node.op_type}"
    allowed = OPERATORS.get((node.domain, node.op_type))
    if allowed is None:
        refuse(
            f"its graph holds the operator {operator:.80}, which is not on the list; use usual "
            "scikit-learn estimators, or train with an estimator of the catalogue"
        )
    expect(not node.overload, f"its {operator} is a function of its own")
    for attribute in node.attribute:
        named = f"{operator} with {attribute.name!r:.40}"
        expect(
            attribute.name in allowed and not attribute.ref_attr_name, f"its graph has a {named}"
        )
        tensor = attribute.name == "value" or attribute.name.endswith("_as_tensor")
        special = _Kind.TENSOR if tensor else {"body": _Kind.GRAPH}.get(attribute.name)
        right = attribute.type == special if special else attribute.type in _PLAIN
        expect(right, f"its graph has a {named} of another type")


def _check_body(body: GraphProto) -> None:
    """Refuse the body of a Scan unless it computes something small from one row at a time."""
    _refuse_beside(body)
    known = {one.name for one in body.input} | {one.name for one in body.initializer}
    expect(len(body.node) <= 20, "the body of its Scan has over 20 nodes")
    for node in body.node:
        usual = node.domain == STANDARD and node.op_type in IN_A_SCAN
        expect(usual, f"the body of its Scan holds {node.domain}:{node.op_type:.60}")
        _check_operator(node)
        expect(known.issuperset(node.input), "the body of its Scan takes what it does not have")
        known.update(node.output)


def _rewritten(model: ModelProto) -> bytes:
    # Else onnxruntime might take its shapes, or by its first bytes another format, for true.
    for name in ("producer_name", "producer_version", "domain", "model_version", "doc_string"):
        model.ClearField(name)
    if "configuration" in model.DESCRIPTOR.fields_by_name:
        model.ClearField("configuration")
    model.graph.ClearField("value_info")
    model.DiscardUnknownFields()
    content: bytes = model.SerializeToString()
    return content
