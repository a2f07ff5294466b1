"""Attributes of ONNX's operators for machine learning that agree with each other.

onnxruntime computes the length of one from another and does not look at the end of all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto

from models_app.runtimes.onnx_operators import TOKEN_PATTERNS
from models_app.runtimes.onnx_shapes import Shapes
from models_app.runtimes.refusing import expect

DEEPEST_TREE = 1000
_MOST_TARGETS = 10_000
_MOST_GRAM = 30
_LONGEST_PAD = 64
_MOST_IDS = 1 << 31
_BRANCHES = (b"BRANCH_LEQ", b"BRANCH_LT", b"BRANCH_GTE", b"BRANCH_GT", b"BRANCH_EQ", b"BRANCH_NEQ")
_TRANSFORMS = (b"", b"NONE", b"SOFTMAX", b"LOGISTIC", b"SOFTMAX_ZERO", b"PROBIT")


class Attributes:
    """The attributes of one node by name, each of a length that is looked at."""

    def __init__(self, node: NodeProto) -> None:
        self.operator = node.op_type
        self._by_name = {one.name: one for one in node.attribute}
        expect(len(self._by_name) == len(node.attribute), f"{node.op_type} has an attribute twice")

    def integers(self, name: str) -> NDArray[np.int64]:
        given = self._by_name[name].ints if name in self._by_name else ()
        return np.fromiter(given, np.int64, len(given))

    def count(self, name: str) -> int:
        """How many items a list has."""
        one = self._by_name.get(name)
        if one is None:
            return 0
        tensor = math.prod(one.t.dims) if one.HasField("t") else 0
        return len(one.ints) + len(one.floats) + len(one.strings) + tensor

    def texts(self, name: str) -> list[bytes]:
        return list(self._by_name[name].strings) if name in self._by_name else []

    def integer(self, name: str, default: int) -> int:
        return int(self._by_name[name].i) if name in self._by_name else default

    def text(self, name: str) -> bytes:
        return bytes(self._by_name[name].s) if name in self._by_name else b""

    def expect(self, condition: object, what: str) -> None:
        expect(condition, f"its {self.operator} {what}")

    def expect_counts(self, allowed: tuple[int, ...], *names: str) -> None:
        for name in names:
            self.expect(self.count(name) in allowed, f"has {self.count(name)} of {name}, which "
                        f"does not fit the rest of it")  # fmt: skip

    def numbers(self, name: str, *, double: bool) -> int:
        """How many numbers a list has that is a tensor where they are in double, and only there."""
        tensor = f"{name}_as_tensor"
        given, other = (tensor, name) if double else (name, tensor)
        self.expect(other not in self._by_name, f"has {other}, which does not fit its rows")
        if double and given in self._by_name:
            flat = self._by_name[given].t
            right = flat.data_type == TensorProto.DOUBLE and len(flat.dims) == 1
            self.expect(right, f"has {given} of another type")
        return self.count(given)

    @property
    def labels(self) -> int:
        names = ("classlabels_strings", "classlabels_int64s", "classlabels_ints")
        given = [count for name in names if (count := self.count(name))]
        self.expect(len(given) == 1, "has no labels, or two sets of them")
        return given[0]


def check_node(node: NodeProto, shapes: Shapes) -> None:
    """Refuse a node whose attributes onnxruntime would read beyond the end of."""
    if check := _CHECKS.get(node.op_type):
        attributes = Attributes(node)
        attributes.expect(
            attributes.text("post_transform") in _TRANSFORMS, "has an unknown transform"
        )
        check(attributes, node, shapes)


def _by_column(attributes: Attributes, node: NodeProto, shapes: Shapes) -> None:
    names = {"Imputer": ("imputed_value_floats",), "Scaler": ("offset", "scale")}[node.op_type]
    attributes.expect_counts((1, shapes.width(node)), *names)


def _linear_classifier(attributes: Attributes, node: NodeProto, shapes: Shapes) -> None:
    classes = attributes.count("intercepts")
    attributes.expect(classes, "has no intercepts")
    attributes.expect_counts((classes * shapes.width(node),), "coefficients")
    labels = attributes.labels
    attributes.expect(labels == classes or (classes, labels) == (1, 2), "has other labels")


def _linear_regressor(attributes: Attributes, node: NodeProto, shapes: Shapes) -> None:
    targets = attributes.integer("targets", 1)
    attributes.expect(1 <= targets <= _MOST_TARGETS, f"has {targets} targets")
    attributes.expect_counts((targets * shapes.width(node),), "coefficients")
    attributes.expect_counts((0, targets), "intercepts")


def _svm_classifier(attributes: Attributes, node: NodeProto, shapes: Shapes) -> None:
    by_class = attributes.integers("vectors_per_class")
    classes, total = len(by_class), int(by_class.sum())
    whole = classes >= 2 and (by_class >= 0).all() and (by_class <= 2**31).all() and total
    attributes.expect(whole, "has no support vectors by class")
    pairs = classes * (classes - 1) // 2
    attributes.expect_counts((total * shapes.width(node),), "support_vectors")
    attributes.expect_counts(((classes - 1) * total,), "coefficients")
    attributes.expect_counts((pairs,), "rho")
    attributes.expect_counts((0, pairs), "prob_a", "prob_b")
    alike = attributes.count("prob_a") == attributes.count("prob_b")
    attributes.expect(alike, "has probabilities of two lengths")
    attributes.expect_counts((3,), "kernel_params")
    attributes.expect(attributes.labels == classes, "has other labels than classes")


def _svm_regressor(attributes: Attributes, node: NodeProto, shapes: Shapes) -> None:
    count = attributes.integer("n_supports", 0)
    attributes.expect(0 < count <= 2**31, "has no support vectors")
    attributes.expect_counts((count * shapes.width(node),), "support_vectors")
    attributes.expect_counts((count,), "coefficients")
    attributes.expect_counts((1,), "rho")
    attributes.expect_counts((3,), "kernel_params")


def _label_encoder(attributes: Attributes, _: NodeProto, __: Shapes) -> None:
    keys, values = (
        [attributes.count(f"{part}_{kind}") for kind in ("strings", "int64s", "floats")]
        for part in ("keys", "values")
    )
    one_each = sorted(keys)[:2] == sorted(values)[:2] == [0, 0]
    attributes.expect(one_each and max(keys) == max(values), "has other keys than values")


def _one_hot(attributes: Attributes, _: NodeProto, __: Shapes) -> None:
    counts = [attributes.count("cats_strings"), attributes.count("cats_int64s")]
    attributes.expect(min(counts) == 0 < max(counts), "has no categories, or two sets")


def _tokenizer(attributes: Attributes, _: NodeProto, __: Shapes) -> None:
    pattern = attributes.text("tokenexp").decode(errors="replace")
    attributes.expect(pattern in TOKEN_PATTERNS, f"has tokenexp = {pattern!r:.60}, one of "
                      f"{', '.join(sorted(TOKEN_PATTERNS))} is allowed")  # fmt: skip
    usual = attributes.integer("mincharnum", 0) == 1 and attributes.integer("mark", 0) == 0
    attributes.expect(usual, "has mark or mincharnum other than ours")
    # As many signs as no term of the vocabulary has.
    pad = attributes.text("pad_value")
    attributes.expect(
        pad == b"#" * len(pad) and 0 < len(pad) <= _LONGEST_PAD, "has another pad_value"
    )


def _tf_idf(attributes: Attributes, _: NodeProto, __: Shapes) -> None:
    longest = attributes.integer("max_gram_length", 0)
    shortest = attributes.integer("min_gram_length", 0)
    attributes.expect(1 <= shortest <= longest <= _MOST_GRAM, "has n-grams of unknown length")
    attributes.expect(attributes.integer("max_skip_count", 0) == 0, "skips words")
    pool = attributes.count("pool_strings") + attributes.count("pool_int64s")
    begins = [*attributes.integers("ngram_counts").tolist(), pool]
    attributes.expect(len(begins) == longest + 1 and begins[0] == 0, "has other n-gram counts")
    grams = 0
    for length, (begin, end) in enumerate(pairwise(begins), start=1):
        whole = begin <= end and (end - begin) % length == 0
        attributes.expect(whole, "has n-gram counts outside of its pool")
        grams += (end - begin) // length
    places = attributes.integers("ngram_indexes")
    attributes.expect(len(places) == grams > 0, "has other places than n-grams")
    within = ((places >= 0) & (places < len(places))).all()
    attributes.expect(within, "has places outside of its rows")
    attributes.expect_counts((0, grams), "weights")


def _trees(attributes: Attributes, node: NodeProto, shapes: Shapes) -> None:
    modes = attributes.texts("nodes_modes")
    count = len(modes)
    attributes.expect(count, "has no nodes")
    names = ("treeids", "nodeids", "featureids", "truenodeids", "falsenodeids")
    attributes.expect_counts((count,), *(f"nodes_{name}" for name in names))
    double = shapes.element(node.input[0]) == TensorProto.DOUBLE
    thresholds = attributes.numbers("nodes_values", double=double)
    attributes.expect(thresholds == count, f"has {thresholds} thresholds for {count} nodes")
    attributes.expect_counts((0, count), "nodes_hitrates", "nodes_missing_value_tracks_true")
    attributes.expect(set(modes) <= {b"LEAF", *_BRANCHES}, "has nodes of an unknown mode")
    inner = np.array(modes) != b"LEAF"
    features = attributes.integers("nodes_featureids")[inner]
    within = ((features >= 0) & (features < shapes.width(node))).all()
    attributes.expect(within, "asks for a column that its rows do not have")
    places = _Places(attributes)
    _check_links(attributes, places, inner)
    _check_leaves(attributes, places, ~inner, double=double)


class _Places:
    """Where the node of a tree stands among all nodes."""

    def __init__(self, attributes: Attributes) -> None:
        self.trees = attributes.integers("nodes_treeids")
        keys = _keys(attributes, self.trees, attributes.integers("nodes_nodeids"))
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]
        attributes.expect((np.diff(self._keys) > 0).all(), "has two nodes of one number")
        self._attributes = attributes

    def of(self, trees: NDArray[np.int64], nodes: NDArray[np.int64]) -> NDArray[np.int64]:
        keys = _keys(self._attributes, trees, nodes)
        found = np.searchsorted(self._keys, keys).clip(max=len(self._keys) - 1)
        known = (self._keys[found] == keys).all()
        self._attributes.expect(known, "names a node that there is not")
        places: NDArray[np.int64] = self._order[found]
        return places


def _keys(
    attributes: Attributes, trees: NDArray[np.int64], nodes: NDArray[np.int64]
) -> NDArray[np.int64]:
    for ids in (trees, nodes):
        attributes.expect(((ids >= 0) & (ids < _MOST_IDS)).all(), "numbers its nodes oddly")
    return trees * _MOST_IDS + nodes


def _check_links(attributes: Attributes, places: _Places, inner: NDArray[np.bool_]) -> None:
    """Each node but the first of a tree has one parent, which comes before it."""
    parents = np.flatnonzero(inner)
    children = np.full((len(inner), 2), -1)
    for side, name in enumerate(("nodes_truenodeids", "nodes_falsenodeids")):
        found = places.of(places.trees[inner], attributes.integers(name)[inner])
        attributes.expect((found > parents).all(), "has a child before its parent")
        children[parents, side] = found
    born = np.bincount(children[parents].ravel(), minlength=len(inner))
    attributes.expect((born <= 1).all(), "has a child with two parents")
    roots = np.flatnonzero(born == 0)
    trees = np.unique(places.trees)
    whole = np.array_equal(np.sort(places.trees[roots]), trees)
    attributes.expect(whole, "has a tree with two roots")
    level = roots
    for _ in range(DEEPEST_TREE):
        level = children[level].ravel()
        level = level[level >= 0]
        if not len(level):
            return
    attributes.expect(False, f"has a tree deeper than {DEEPEST_TREE}")


def _check_leaves(
    attributes: Attributes, places: _Places, leaves: NDArray[np.bool_], *, double: bool
) -> None:
    if attributes.operator == "TreeEnsembleClassifier":
        kind, most = "class", attributes.labels
    else:
        kind, most = "target", attributes.integer("n_targets", 1)
    attributes.expect(1 <= most <= _MOST_TARGETS, f"has {most} outputs")
    count = attributes.count(f"{kind}_ids")
    attributes.expect(count, "has no answers")
    attributes.expect_counts((count,), f"{kind}_nodeids", f"{kind}_treeids")
    weights = attributes.numbers(f"{kind}_weights", double=double)
    attributes.expect(weights == count, f"has {weights} weights for {count} answers")
    ids = attributes.integers(f"{kind}_ids")
    attributes.expect(((ids >= 0) & (ids < most)).all(), "answers with a class that there is not")
    found = places.of(
        attributes.integers(f"{kind}_treeids"), attributes.integers(f"{kind}_nodeids")
    )
    attributes.expect(leaves[found].all(), "answers at a node that is no leaf")
    attributes.expect_counts((0, 1, most), "base_values")


_CHECKS: Mapping[str, Any] = {
    "Imputer": _by_column,
    "LabelEncoder": _label_encoder,
    "LinearClassifier": _linear_classifier,
    "LinearRegressor": _linear_regressor,
    "OneHotEncoder": _one_hot,
    "SVMClassifier": _svm_classifier,
    "SVMRegressor": _svm_regressor,
    "Scaler": _by_column,
    "TfIdfVectorizer": _tf_idf,
    "Tokenizer": _tokenizer,
    "TreeEnsembleClassifier": _trees,
    "TreeEnsembleRegressor": _trees,
}
