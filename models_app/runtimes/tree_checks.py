"""Trees whose children, features and counts stay within them.

scikit-learn follows the indices of a tree without looking whether they are within it. A child
comes after its parent in every tree that scikit-learn grows, so a walk down ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from sklearn.tree._tree import NODE_DTYPE

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

_LEAF = -1
_MOST_OUTPUTS = 10_000
_MOST_CLASSES = 1_000_000


def check_tree(tree: Record) -> None:
    """Refuse a Tree that points outside of itself or of a row."""
    expect(len(tree.arguments) == 3, "a tree is made of other than three arguments")
    features = integer(tree.arguments[0], "n_features of a tree", least=1)
    outputs = integer(tree.arguments[2], "n_outputs of a tree", least=1, most=_MOST_OUTPUTS)
    classes = array(tree.arguments[1], "n_classes of a tree", np.intp, (outputs,))
    sound = classes.min() >= 1 and classes.max() <= _MOST_CLASSES
    expect(sound, "n_classes of a tree makes no sense")
    count = integer(tree.get("node_count"), "node_count of a tree", least=1)
    integer(tree.get("max_depth"), "max_depth of a tree")
    nodes = array(tree.get("nodes"), "the nodes of a tree", NODE_DTYPE, (count,))
    array(tree.get("values"), "the values of a tree", np.float64, (count, outputs, classes.max()))
    left, right = nodes["left_child"], nodes["right_child"]
    inner = left != _LEAF
    _check_children(left, right, inner, count)
    _check_features(nodes["feature"], inner, features)


def _check_children(
    left: NDArray[Any], right: NDArray[Any], inner: NDArray[np.bool_], count: int
) -> None:
    expect((inner == (right != _LEAF)).all(), "a tree has a node with only one child")
    parents = np.flatnonzero(inner)
    for children in (left[inner].astype(np.int64), right[inner].astype(np.int64)):
        within = ((children > parents) & (children < count)).all()
        expect(within, "a tree has a child outside of it, or before its parent")


def _check_features(features: NDArray[Any], inner: NDArray[np.bool_], count: int) -> None:
    asked = features[inner]
    within = ((asked >= 0) & (asked < count)).all()
    expect(within, f"a tree asks for a feature that a row of {count} does not have")


def check_tree_estimator(owner: Record) -> None:
    """Refuse a tree estimator that lets rows of another length pass than its tree takes."""
    if not is_fitted(owner, "tree_"):
        return
    tree = record(owner.get("tree_"), f"tree_ of {short(owner)}", {allowed.TREE})
    expect(features_of(owner) == tree.arguments[0], f"{short(owner)} and its tree differ in width")


def check_forest(owner: Record) -> None:
    """Refuse a forest whose trees take rows of different length: only the first one looks."""
    if not is_fitted(owner, "estimators_"):
        return
    trees = owner.get("estimators_")
    expect(isinstance(trees, list) and trees, "a forest has no trees")
    widths = {features_of(record(one, "a tree of a forest", allowed.TREES)) for one in trees}
    expect(widths == {features_of(owner)}, "the trees of a forest differ in width")


def check_boosting(owner: Record) -> None:
    """Refuse gradient boosting that adds to columns which its start does not have."""
    if not is_fitted(owner, "estimators_"):
        return
    stages = owner.get("estimators_")
    expect(isinstance(stages, Objects) and stages, "gradient boosting has no trees")
    width = integer(owner.get("n_trees_per_iteration_"), "n_trees_per_iteration_", least=1)
    rows = all(isinstance(stage, list) and len(stage) == width for stage in stages)
    expect(rows, "the stages of gradient boosting differ in their number of trees")
    expect(width == _columns_at_start(owner), "gradient boosting has more trees than columns")
    for stage in stages:
        for one in stage:
            member = record(one, "a tree of gradient boosting", allowed.TREES)
            tree = record(member.get("tree_"), "a tree of gradient boosting", {allowed.TREE})
            array(tree.get("values"), "the values of a tree", np.float64, (None, 1, 1))
            alike = features_of(member) == features_of(owner)
            expect(alike, "the trees of gradient boosting differ in width")


def _columns_at_start(owner: Record) -> int:
    if owner.get("init_") == "zero":
        return integer(owner.get("n_trees_per_iteration_"), "n_trees_per_iteration_", least=1)
    start = record(owner.get("init_"), "the start (init) of gradient boosting", allowed.DUMMIES)
    expect(start.get("n_outputs_") == 1, "the start of gradient boosting has several outputs")
    loss = owner.get("_loss")
    is_multiclass = isinstance(loss, Record) and short(loss) == "HalfMultinomialLoss"
    if not is_multiclass:
        return 1
    expect(start.get("strategy") == "prior", "the start of gradient boosting is no prior")
    return len(array(start.get("class_prior_"), "class_prior_", np.float64, (None,)))


def check_histogram_boosting(owner: Record) -> None:
    """Refuse histogram gradient boosting whose trees point outside of themselves or of a row."""
    if not is_fitted(owner, "_predictors"):
        return
    expect(not owner.get("_in_fit"), "histogram gradient boosting is not done with its fit")
    remade = owner.get("_preprocessor") is not None
    expect(not remade, "histogram gradient boosting with categorical_features cannot be loaded; "
           "train it without, as categories arrive as columns of their own")  # fmt: skip
    width = features_of(owner)
    mapper = record(owner.get("_bin_mapper"), "_bin_mapper", {allowed.BIN_MAPPER})
    categorical = array(mapper.get("is_categorical_"), "is_categorical_", np.uint8, (width,))
    stages = owner.get("_predictors")
    expect(isinstance(stages, list), "histogram gradient boosting has no trees")
    for stage in stages:
        expect(isinstance(stage, list), "a stage of histogram gradient boosting is none")
        for one in stage:
            _check_predictor(record(one, "a tree", {allowed.TREE_PREDICTOR}), categorical)


def _check_predictor(tree: Record, categorical: NDArray[Any]) -> None:
    nodes = array(tree.get("nodes"), "the nodes of a tree", PREDICTOR_RECORD_DTYPE, (None,))
    expect(len(nodes), "a tree has no nodes")
    for name in ("raw_left_cat_bitsets", "binned_left_cat_bitsets"):
        array(tree.get(name), name, np.uint32, (None, 8))
    inner = nodes["is_leaf"] == 0
    left, right = (
        np.where(inner, nodes[side].astype(np.int64), _LEAF) for side in ("left", "right")
    )
    _check_children(left, right, inner, len(nodes))
    _check_features(nodes["feature_idx"], inner, len(categorical))
    by_category = inner & (nodes["is_categorical"] != 0)
    sets = len(tree.get("raw_left_cat_bitsets"))
    asked = nodes["feature_idx"][by_category]
    known = (nodes["bitset_idx"][by_category] < sets).all() and categorical[asked].all()
    expect(known, "a tree asks for a set of categories that it does not have")


CHECKS: Mapping[str, Any] = {
    allowed.TREE: check_tree,
    **dict.fromkeys(allowed.TREES, check_tree_estimator),
    **dict.fromkeys(allowed.FORESTS, check_forest),
    **dict.fromkeys(allowed.BOOSTINGS, check_boosting),
    **dict.fromkeys(allowed.HISTOGRAM_BOOSTINGS, check_histogram_boosting),
}
