"""Skops files of allowed types whose numbers would lead compiled code out of its memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from tests.models_app.runtimes.attacks import (
    Change,
    array,
    attribute,
    attributes,
    fitted,
    nodes,
    of,
    plain,
    refused_estimator,
)

FAR = 2**40


def in_tree(field: str, value: Any, at: int = 0) -> Change:
    """Change one field of one node of the first tree."""

    def change(schema: Any, members: Any) -> None:
        def set_one(found: Any) -> None:
            found[field][at] = value

        array(attributes(of(schema, "Tree"))["nodes"], members, set_one)

    return change


def in_array(class_name: str, name: str, alter: Callable[[Any], Any]) -> Change:
    """Change an array that is an attribute of the first object of a class."""

    def change(schema: Any, members: Any) -> None:
        array(attributes(of(schema, class_name))[name], members, alter)

    return change


def of_tree(name: str, value: Any) -> Change:
    def change(schema: Any, members: Any) -> None:
        before = attributes(of(schema, "Tree")).pop(name)
        members.pop(before.get("file"), None)
        attributes(of(schema, "Tree"))[name] = plain(value)

    return change


def argument(place: int, value: Any) -> Change:
    def change(schema: Any, _: Any) -> None:
        of(schema, "Tree")["__reduce__"]["args"]["content"][place] = plain(value)

    return change


TREES = {
    "child far away": in_tree("left_child", FAR),
    "child before its parent": in_tree("left_child", 0),
    "child below zero": in_tree("right_child", -7),
    "only one child": in_tree("right_child", -1),
    "feature far away": in_tree("feature", FAR),
    "feature below zero": in_tree("feature", -3),
    "more nodes than there are": of_tree("node_count", 10**6),
    "no nodes": of_tree("node_count", 0),
    "more features than its estimator": argument(0, 10**6),
    "more outputs than it has": argument(2, 10**6),
    "number as nodes": of_tree("nodes", 7),
    "number as values": of_tree("values", 7),
}


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize(
    "estimator",
    [
        DecisionTreeClassifier(random_state=0),
        RandomForestClassifier(2, random_state=0),
        GradientBoostingClassifier(n_estimators=2, random_state=0),
    ],
    ids=["tree", "forest", "boosting"],
)
def test_a_tree_that_points_outside_of_itself_is_refused(name: str, estimator: Any) -> None:
    assert "tree" in refused_estimator(fitted(estimator), TREES[name]).lower()


def without(name: str) -> Change:
    """Take an attribute from the first tree estimator."""

    def change(schema: Any, _: Any) -> None:
        found = attributes(of(schema, "DecisionTreeClassifier"))
        found[name] = plain(None)

    return change


def test_a_tree_estimator_that_would_not_look_at_the_width_of_rows_is_refused() -> None:
    made = fitted(DecisionTreeClassifier(random_state=0))

    assert "n_features_in_" in refused_estimator(made, without("n_features_in_"))


def test_gradient_boosting_with_more_trees_than_columns_is_refused() -> None:
    def change(schema: Any, _: Any) -> None:
        for stage in attributes(of(schema, "GradientBoostingClassifier"))["estimators_"]["content"]:
            stage["content"] *= 3
        attribute(schema, "GradientBoostingClassifier", "n_trees_per_iteration_", plain(3))

    made = fitted(GradientBoostingClassifier(n_estimators=2, random_state=0))

    assert "more trees than columns" in refused_estimator(made, change)


def first_predictor(name: str, alter: Callable[[Any], Any]) -> Change:
    return in_array("TreePredictor", name, alter)


def of_nodes(field: str, value: Any) -> Change:
    def alter(found: Any) -> None:
        found[field][0] = value

    return first_predictor("nodes", alter)


def every_category(found: Any) -> None:
    found["is_categorical"][:] = 1


HISTOGRAM_TREES = {
    "child far away": of_nodes("left", 2**31),
    "child that is itself": of_nodes("right", 0),
    "feature far away": of_nodes("feature_idx", FAR),
    "feature below zero": of_nodes("feature_idx", -1),
    "set of categories that there is not": first_predictor("nodes", every_category),
    "nodes of another type": first_predictor("nodes", lambda found: found["value"].copy()),
    "no nodes": first_predictor("nodes", lambda found: found[:0]),
    "fit that is not done": lambda schema, _: attribute(
        schema, "HistGradientBoostingClassifier", "_in_fit", plain(True)
    ),
}


@pytest.mark.parametrize("name", HISTOGRAM_TREES)
def test_a_histogram_tree_that_points_outside_of_itself_is_refused(name: str) -> None:
    made = fitted(HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=2))

    refused_estimator(made, HISTOGRAM_TREES[name])


def of_neighbours(place: int, alter: Callable[[Any], Any]) -> Change:
    """Change one array in the state of the first tree of neighbours."""

    def change(schema: Any, members: Any) -> None:
        kinds = ("KDTree", "BallTree")
        found = next(node for node in nodes(schema) if node["__class__"] in kinds)
        array(found["content"]["content"][place], members, alter)

    return change


def set_first(value: Any) -> Callable[[Any], None]:
    def alter(found: Any) -> None:
        found[0] = value

    return alter


def end_far_away(found: Any) -> None:
    found["idx_end"][-1] = FAR


def no_leaves(found: Any) -> None:
    found["is_leaf"][:] = 0


def shared(found: Any) -> None:
    found["idx_start"][-1] = 0


NEIGHBOURS = {
    "place far away": of_neighbours(1, set_first(FAR)),
    "place twice": of_neighbours(1, set_first(1)),
    "end far away": of_neighbours(2, end_far_away),
    "no leaves": of_neighbours(2, no_leaves),
    "rows in two nodes": of_neighbours(2, shared),
    "fewer nodes than it says": of_neighbours(2, lambda found: found[:1]),
    "fewer bounds than nodes": of_neighbours(3, lambda found: found[:, :1].copy()),
    "fewer rows": of_neighbours(0, lambda found: found[:5].copy()),
    "narrower rows": of_neighbours(0, lambda found: found[:, :1].copy()),
}


@pytest.mark.parametrize("name", NEIGHBOURS)
@pytest.mark.parametrize("algorithm", ["kd_tree", "ball_tree"])
def test_a_tree_of_neighbours_that_points_outside_of_itself_is_refused(
    name: str, algorithm: str
) -> None:
    made = fitted(KNeighborsClassifier(3, algorithm=algorithm, leaf_size=5))

    refused_estimator(made, NEIGHBOURS[name])


@pytest.mark.parametrize(
    "change",
    [
        in_array("KNeighborsClassifier", "_y", lambda found: found[:3].copy()),
        in_array("KNeighborsClassifier", "_y", set_first(FAR)),
        in_array("KNeighborsClassifier", "_fit_X", lambda found: found[:, :1].copy()),
        lambda schema, _: attribute(schema, "KNeighborsClassifier", "n_samples_fit_", plain(10**9)),
        lambda schema, _: attribute(schema, "KNeighborsClassifier", "metric", plain("mahalanobis")),
        lambda schema, _: attribute(
            schema, "KNeighborsClassifier", "effective_metric_", plain("pyfunc")
        ),
    ],
    ids=["fewer answers", "class far away", "narrower rows", "more rows", "metric", "function"],
)
def test_neighbours_by_brute_force_that_point_outside_are_refused(change: Change) -> None:
    refused_estimator(fitted(KNeighborsClassifier(3, algorithm="brute")), change)


SUPPORT = {
    "support_": lambda found: found[:1].copy(),
    "support_vectors_": lambda found: found[:1].copy(),
    "_n_support": lambda found: np.array([10**6, 10**6], np.int32),
    "_dual_coef_": lambda found: found[:, :1].copy(),
    "_intercept_": lambda found: found[:0].copy(),
    "_probA": lambda found: np.zeros(7),
}


@pytest.mark.parametrize("name", SUPPORT)
def test_support_vectors_of_lengths_that_do_not_fit_are_refused(name: str) -> None:
    refused_estimator(fitted(SVC()), in_array("SVC", name, SUPPORT[name]))


@pytest.mark.parametrize(
    ("name", "value"), [("kernel", "precomputed"), ("_sparse", True), ("_impl", "nu_svr")]
)
def test_support_vectors_of_another_kind_than_they_say_are_refused(name: str, value: Any) -> None:
    def change(schema: Any, _: Any) -> None:
        attribute(schema, "SVC", name, plain(value))

    refused_estimator(fitted(SVC()), change)


def encoded() -> Any:
    encoder = OneHotEncoder(handle_unknown="ignore").fit([[1.0, 1.0], [9.0, 2.0]])
    return make_pipeline(encoder, fitted(LogisticRegression()).steps[-1][1])


def narrower(schema: Any, _: Any) -> None:
    found = attributes(of(schema, "OneHotEncoder"))
    found["_n_features_outs"]["content"] = [plain(1), plain(1)]


def unsorted(schema: Any, members: Any) -> None:
    found = attributes(of(schema, "OneHotEncoder"))["categories_"]["content"][0]
    array(found, members, lambda before: before[::-1].copy())


@pytest.mark.parametrize("change", [narrower, unsorted], ids=["narrower", "unsorted"])
def test_an_encoder_that_writes_outside_of_its_rows_is_refused(change: Change) -> None:
    refused_estimator(encoded(), change)


def test_a_sparse_matrix_with_an_index_outside_of_it_is_refused() -> None:
    made = fitted(LogisticRegression())
    matrix = sparse.csr_matrix(np.eye(2))
    matrix.indices[0] = 10**6
    made.steps[-1][1].coef_ = matrix

    assert "sparse" in refused_estimator(made)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_random_state_that_points_outside_of_itself_is_refused() -> None:
    made = fitted(MLPClassifier((2,), max_iter=5, random_state=0))

    def change(schema: Any, _: Any) -> None:
        for node in nodes(schema):
            if node["__class__"] == "dict" and "pos" in node["content"]:
                node["content"]["pos"]["content"] = str(10**6)

    assert "random state" in refused_estimator(made, change)
