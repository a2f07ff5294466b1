"""Nearest neighbours whose index arrays stay within the rows that were learnt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models_app.runtimes import allowed_types as allowed
from models_app.runtimes.attributes import (
    array,
    features_of,
    integer,
    is_fitted,
    record,
    short,
)
from models_app.runtimes.refusing import expect
from models_app.runtimes.skops_nodes import Objects, Record

_NODE = np.dtype(
    [("idx_start", np.intp), ("idx_end", np.intp), ("is_leaf", np.intp), ("radius", np.float64)]
)
# KDTree keeps a lower and an upper corner of each node, BallTree its centre.
_CORNERS = {"KDTree": 2, "BallTree": 1}
METRICS = frozenset(
    {
        "chebyshev", "cityblock", "cosine", "euclidean", "l1", "l2", "manhattan", "minkowski",
        "nan_euclidean", "sqeuclidean",
    }
)  # fmt: skip


def check_distance(metric: Record) -> None:
    """Refuse a distance that has more than its exponent."""
    expect(len(metric.state) == 3, f"the state of a {short(metric)} is damaged")
    exponent, vector, matrix = metric.state
    expect(type(exponent) in (int, float) and exponent >= 1, "a distance has no exponent")
    array(vector, "the vector of a distance", np.float64, (1,))
    array(matrix, "the matrix of a distance", np.float64, (1, 1))


def check_neighbour_tree(tree: Record) -> None:
    """Refuse a KDTree or BallTree unless its nodes divide exactly the rows that it holds."""
    expect(len(tree.state) == 13, f"the state of a {short(tree)} is damaged")
    data, places, nodes, bounds, leaf, levels, count, *counters, metric, weights = tree.state
    rows, width = array(data, "the rows of a tree", np.float64, (None, None)).shape
    expect(rows and width, "a tree of neighbours is empty")
    places = array(places, "the places of a tree", np.intp, (rows,))
    expect((np.sort(places) == np.arange(rows)).all(), "the places of a tree are not its rows")
    integer(leaf, "leaf_size", least=1)
    integer(levels, "the levels of a tree", most=60)
    count = integer(count, "the nodes of a tree", least=1)
    nodes = array(nodes, "the nodes of a tree", _NODE, (count,))
    array(bounds, "the bounds of a tree", np.float64, (_CORNERS[short(tree)], count, width))
    for counter in counters:
        integer(counter, "a counter of a tree", most=2**62)
    record(metric, "the distance of a tree", allowed.DISTANCES)
    expect(weights is None, "a tree of neighbours has weights")
    _check_division(nodes, rows)


def _check_division(nodes: NDArray[Any], rows: int) -> None:
    begin, end, inner = nodes["idx_start"], nodes["idx_end"], nodes["is_leaf"] == 0
    expect(begin[0] == 0 and end[0] == rows, "the root of a tree is not all of its rows")
    parents = np.flatnonzero(inner)
    lefts, rights = 2 * parents + 1, 2 * parents + 2
    expect((rights < len(nodes)).all(), "a tree of neighbours has a child outside of it")
    divided = (
        (begin[lefts] == begin[parents])
        & (end[lefts] == begin[rights])
        & (end[rights] == end[parents])
        & (begin[parents] <= end[lefts])
        & (begin[rights] <= end[parents])
    )
    expect(divided.all(), "the nodes of a tree of neighbours do not divide its rows")


def check_neighbours(owner: Record) -> None:
    """Refuse neighbours whose answers are fewer than their rows, or their tree another's."""
    if not is_fitted(owner, "_fit_X", "_fit_method", "_tree"):
        return
    rows, width = _learnt(owner)
    expect(owner.get("n_samples_fit_") == rows, "n_samples_fit_ is not the number of rows")
    expect(features_of(owner) == width, "the rows of neighbours have another width than theirs")
    _check_answers(owner, rows)
    method, tree = owner.get("_fit_method"), owner.get("_tree")
    expect(method in ("brute", "kd_tree", "ball_tree"), f"neighbours are found by {method!r:.40}")
    if method != "brute":
        tree = record(tree, "the tree of neighbours", allowed.NEIGHBOUR_TREES)
        expect(tree.state[0].shape == (rows, width), "the tree of neighbours is of other rows")
    for name in ("metric", "effective_metric_"):
        expect(owner.get(name) in METRICS, f"the distance {owner.get(name)!r:.40} is not allowed")
    for name in ("metric_params", "effective_metric_params_"):
        expect(set(owner.get(name) or ()) <= {"p"}, f"{name} holds more than p")


def _learnt(owner: Record) -> tuple[int, int]:
    learnt = owner.get("_fit_X")
    plain = isinstance(learnt, np.ndarray) and learnt.dtype.kind == "f"
    expect(plain or sparse.issparse(learnt), "neighbours have no rows")
    expect(learnt.ndim == 2, "the rows of neighbours are no table")
    rows, width = learnt.shape
    return rows, width


def _check_answers(owner: Record, rows: int) -> None:
    answers = owner.get("_y")
    expect(
        isinstance(answers, np.ndarray) and answers.shape[:1] == (rows,), "neighbours lack answers"
    )
    if "Classifier" in owner.type:
        classes = owner.get("classes_")
        several = isinstance(classes, np.ndarray | Objects) and answers.ndim == 1
        expect(several and answers.dtype.kind == "i", "neighbours have no classes, or several sets")
        within = ((answers >= 0) & (answers < len(classes))).all()
        expect(within, "neighbours answer with a class that there is not")


CHECKS: Mapping[str, Any] = {
    **dict.fromkeys(allowed.DISTANCES, check_distance),
    **dict.fromkeys(allowed.NEIGHBOUR_TREES, check_neighbour_tree),
    **dict.fromkeys(allowed.NEIGHBOURS, check_neighbours),
}
