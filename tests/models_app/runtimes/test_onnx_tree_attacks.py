"""Trees of ONNX graphs that point outside of themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, numpy_helper

from models_app.runtimes.onnx import OnnxRuntime
from tests.models_app.runtimes.test_onnx_attacks import model, node, outside, refused


def tree(**changed: Any) -> ModelProto:
    """A tree of one split and two leaves."""
    attributes: dict[str, Any] = {
        "n_targets": 1,
        "nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_featureids": [0, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"], "nodes_values": [5.0, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0],
        "target_ids": [0, 0], "target_nodeids": [1, 2], "target_treeids": [0, 0],
        "target_weights": [1.0, 2.0],
    }  # fmt: skip
    given = {name: value for name, value in (attributes | changed).items() if value is not None}
    return model(node("TreeEnsembleRegressor", domain="ai.onnx.ml", **given))


TREES: dict[str, dict[str, Any]] = {
    "cycle": {"nodes_truenodeids": [0, 0, 0]},
    "child far away": {"nodes_truenodeids": [2**40, 0, 0]},
    "child twice": {"nodes_truenodeids": [2, 0, 0]},
    "column far away": {"nodes_featureids": [10**6, 0, 0]},
    "column below zero": {"nodes_featureids": [-1, 0, 0]},
    "target far away": {"target_ids": [0, 10**6]},
    "target at no node": {"target_nodeids": [1, 9]},
    "target at a split": {"target_nodeids": [0, 2]},
    "fewer values": {"nodes_values": [5.0]},
    "fewer weights": {"target_weights": [1.0]},
    "node twice": {"nodes_nodeids": [0, 1, 1]},
    "number below zero": {"nodes_nodeids": [0, 1, -2]},
    "huge number of targets": {"n_targets": 2**40},
    "unknown mode": {"nodes_modes": ["BRANCH_EVIL", "LEAF", "LEAF"]},
    "other base values": {"base_values": [0.0] * 7},
}


@pytest.mark.parametrize("name", TREES)
def test_a_tree_that_points_outside_of_itself_is_refused(name: str) -> None:
    refused(tree(**TREES[name]))


def in_double(**changed: Any) -> ModelProto:
    """The same tree over rows in double, with its numbers in tensors."""
    numbers: dict[str, Any] = {
        "nodes_values": None,
        "target_weights": None,
        "nodes_values_as_tensor": numpy_helper.from_array(np.array([5.0, 0.0, 0.0])),
        "target_weights_as_tensor": numpy_helper.from_array(np.array([1.0, 2.0])),
    }
    made = tree(**numbers | changed)
    made.graph.node.insert(0, node("Cast", to=TensorProto.DOUBLE, gives="wide"))
    made.graph.node[1].input[0] = "wide"
    return made


def test_a_tree_in_double_that_is_sound_is_read() -> None:
    content = in_double().SerializeToString()

    runtime = OnnxRuntime(content, inputs=[["a", "b"]], classes=(), has_probabilities=False)

    columns = {"a": np.array([4.0, 6.0]), "b": np.zeros(2)}
    assert runtime.answer(columns).values.tolist() == [1.0, 2.0]


DOUBLES: dict[str, dict[str, Any]] = {
    "fewer values": {"nodes_values_as_tensor": numpy_helper.from_array(np.zeros(1))},
    "more weights": {"target_weights_as_tensor": numpy_helper.from_array(np.zeros(9))},
    "in float32": {"nodes_values_as_tensor": numpy_helper.from_array(np.zeros(3, np.float32))},
    "of another shape": {"nodes_values_as_tensor": numpy_helper.from_array(np.zeros((3, 1)))},
    "values twice": {"nodes_values": [5.0, 0.0, 0.0]},
    "weights twice": {"target_weights": [1.0, 2.0]},
    "no values": {"nodes_values_as_tensor": None},
    "not in tensors": {"nodes_values_as_tensor": None, "nodes_values": [5.0, 0.0, 0.0]},
    "in a file": {"nodes_values_as_tensor": outside(size=3)},
    "a list": {"nodes_values_as_tensor": [5.0, 0.0, 0.0]},
}


@pytest.mark.parametrize("name", DOUBLES)
def test_a_tree_in_double_with_other_numbers_than_nodes_is_refused(name: str) -> None:
    refused(in_double(**DOUBLES[name]))


def test_a_tree_in_float32_with_numbers_in_double_is_refused() -> None:
    numbers = numpy_helper.from_array(np.array([5.0, 0.0, 0.0]))

    refused(tree(nodes_values=None, nodes_values_as_tensor=numbers))
    refused(tree(nodes_values_as_tensor=numbers))
