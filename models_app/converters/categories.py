"""Native categories of histogram gradient boosting, as columns that say which way a node goes.

ONNX's trees compare numbers only. A node of scikit-learn asks whether a category is in a set, so
each set of a column becomes a column of its own: 0 for the rows that go left, 1 for the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models_app.converters.writing import Writer

HALF = 0.5
_BITS = 32


class CategoryColumns:
    """Where the trees of a fitted estimator find what they ask for."""

    def __init__(self, fitted: Any) -> None:
        is_category, known = fitted.is_categorical_, []
        if is_category is None:
            is_category = np.zeros(fitted.n_features_in_, dtype=bool)
        else:
            known = fitted._preprocessor.named_transformers_["encoder"].categories_
        # scikit-learn puts the categories first.
        self._order = np.concatenate([np.flatnonzero(is_category), np.flatnonzero(~is_category)])
        self._known = [_numbers(values) for values in known]
        # For each column of categories, its sets by their bytes.
        self._sets: list[dict[bytes, int]] = [{} for _ in known]
        for stage in fitted._predictors:
            for tree in stage:
                for _, feature, rights in self._asked(tree):
                    self._sets[feature].setdefault(rights, len(self._sets[feature]))

    def asked_by(self, tree: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """The column and the threshold of each node of a tree, each of shape (n_nodes,)."""
        nodes = tree.nodes
        features = self._order[np.where(nodes["is_leaf"], 0, nodes["feature_idx"])]
        thresholds = nodes["num_threshold"].copy()
        begins = np.cumsum([len(self._order), *map(len, self._sets)])
        for node, feature, rights in self._asked(tree):
            features[node] = begins[feature] + self._sets[feature][rights]
            thresholds[node] = HALF
        return features, thresholds

    def write(self, write: Writer, rows: str) -> str:
        """Add the columns of all sets behind the rows; returns the name of the whole."""
        parts = [self._flags(write, rows, one) for one, sets in enumerate(self._sets) if sets]
        return write.node("Concat", rows, *parts, axis=1) if parts else rows

    def _asked(self, tree: Any) -> Iterator[tuple[int, int, bytes]]:
        """Each node that asks for a set: its place, its column, and who goes right.

        The latter has a byte for what is no known category, then one for each category.
        """
        nodes = tree.nodes
        for place in np.flatnonzero((nodes["is_categorical"] != 0) & (nodes["is_leaf"] == 0)):
            node = nodes[place]
            feature = int(node["feature_idx"])
            count = len(self._known[feature])
            bits = tree.raw_left_cat_bitsets[node["bitset_idx"]]
            codes = np.arange(count)
            left = (bits[codes // _BITS] >> (codes % _BITS).astype(np.uint32)) & 1
            rights = np.concatenate([[1 - node["missing_go_to_left"]], 1 - left.astype(np.int64)])
            yield int(place), feature, rights.astype(np.uint8).tobytes()

    def _flags(self, write: Writer, rows: str, feature: int) -> str:
        values = self._known[feature]
        which = write.constant([self._order[feature]], np.int64)
        column = write.node("Gather", rows, which, axis=1)
        equal = write.node("Equal", column, write.constant(values.reshape(1, -1)))
        # The place of the category among all known ones, from 1; 0 for any other.
        places = write.constant(np.arange(1, len(values) + 1).reshape(-1, 1))
        place = write.node("MatMul", write.cast(equal, np.float64), places)
        flat = write.constant([-1], np.int64)
        place = write.node("Reshape", write.cast(place, np.int64), flat)
        table = np.array([list(rights) for rights in self._sets[feature]]).T
        return write.node("Gather", write.constant(table), place, axis=0)


def _numbers(values: NDArray[Any]) -> NDArray[np.float64]:
    """Known categories in the order of their codes; a missing one is none."""
    numbers = np.asarray(values, dtype=np.float64)
    return numbers[~np.isnan(numbers)]
