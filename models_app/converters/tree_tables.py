"""Trees as the attributes of ONNX's TreeEnsembleRegressor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from onnx import numpy_helper

from models_app.converters.writing import Writer

_LEAF, _BRANCH = "LEAF", "BRANCH_LEQ"


class TreeTable:
    """Trees whose leaves are added up, target by target.

    dtype: in which rows are compared with thresholds. ONNX gives the sums in float32 either way.
    """

    def __init__(self, dtype: DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._nodes: list[dict[str, NDArray[Any]]] = []
        self._leaves: list[dict[str, NDArray[Any]]] = []

    def add(
        self,
        *,
        left: NDArray[Any],
        right: NDArray[Any],
        is_leaf: NDArray[np.bool_],
        features: NDArray[Any],
        thresholds: NDArray[Any],
        missing_left: NDArray[Any],
        values: NDArray[Any],
        target: int = 0,
    ) -> None:
        """Add a tree. All arrays have shape (n_nodes,), and its root comes first.

        A row goes left where its feature is at most the threshold, or, where it is missing, as
        `missing_left` says. values: what a leaf adds to `target`.
        """
        count, tree = len(left), len(self._nodes)
        self._nodes.append(
            {
                "treeids": np.full(count, tree),
                "nodeids": np.arange(count),
                "featureids": np.where(is_leaf, 0, features),
                "truenodeids": np.where(is_leaf, 0, left),
                "falsenodeids": np.where(is_leaf, 0, right),
                "missing_value_tracks_true": np.where(is_leaf, 0, missing_left).astype(np.int64),
                "modes": np.where(is_leaf, _LEAF, _BRANCH),
                "values": _at_most(np.where(is_leaf, 0.0, thresholds), self._dtype),
            }
        )
        self._leaves.append(self._leaf_parts(tree, is_leaf, values, target))

    def _leaf_parts(
        self, tree: int, is_leaf: NDArray[np.bool_], values: NDArray[Any], target: int
    ) -> dict[str, NDArray[Any]]:
        adds = (values != 0) & is_leaf[:, np.newaxis]
        # A leaf that adds nothing says so once.
        adds[:, 0] |= is_leaf & ~adds.any(axis=1)
        leaves, places = np.nonzero(adds)
        return {
            "treeids": np.full(len(leaves), tree),
            "nodeids": leaves,
            "ids": places + target,
            "weights": values[adds].astype(self._dtype),
        }

    def write(self, write: Writer, rows: str, *, targets: int = 1) -> str:
        """Add the node that answers rows of this table's type; returns the name of its sums."""
        return write.node(
            "TreeEnsembleRegressor",
            rows,
            op_domain="ai.onnx.ml",
            op_version=3,
            n_targets=targets,
            post_transform="NONE",
            **self._attributes("nodes", self._nodes),
            **self._attributes("target", self._leaves),
        )

    def _attributes(self, prefix: str, parts: Sequence[dict[str, NDArray[Any]]]) -> dict[str, Any]:
        attributes: dict[str, Any] = {}
        for name in parts[0]:
            whole, full = np.concatenate([part[name] for part in parts]), f"{prefix}_{name}"
            if whole.dtype == np.float64:
                attributes[f"{full}_as_tensor"] = numpy_helper.from_array(whole, full)
            else:
                attributes[full] = whole.tolist()
        return attributes


def _at_most(thresholds: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The thresholds as the largest numbers of that type that do not exceed them."""
    with np.errstate(over="ignore"):
        rounded = thresholds.astype(dtype)
    return np.where(rounded > thresholds, np.nextafter(rounded, dtype.type(-np.inf)), rounded)
