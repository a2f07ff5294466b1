"""scikit-learn's trees, alone or added up."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.dummy import DummyRegressor

from models_app.converters.in_float import in_float
from models_app.converters.tree_tables import TreeTable
from models_app.converters.writing import Writer

# Farther from zero than this, in spreads, answers are added up around their middle: else they
# lose as much of float32's seven digits. Nearer, a leaf's own number is kept with its digits.
FAR = 2


def regression(scope: Any, operator: Any, container: Any) -> None:
    """A tree, or the mean of several, with more digits than a float32 has."""
    fitted = operator.raw_operator
    trees = [one.tree_ for one in getattr(fitted, "estimators_", [fitted])]
    if trees[0].n_outputs != 1:
        in_float(scope, operator, container)
        return
    leaves = np.concatenate([_values(tree)[tree.children_left == -1] for tree in trees])
    middle = float(np.mean([_values(tree)[0] for tree in trees]))
    base = middle if abs(middle) > FAR * float(np.std(leaves)) else 0.0
    table = TreeTable(np.float32)
    for tree in trees:
        _add_tree(table, tree, (_values(tree) - base) / len(trees))
    _give_sums(Writer(scope, container), operator, table, base)


def classification(scope: Any, operator: Any, container: Any) -> None:
    """The shares of classes in a tree's leaf, or the mean of several trees' shares."""
    fitted = operator.raw_operator
    if fitted.n_outputs_ != 1:
        in_float(scope, operator, container)
        return
    write, table = Writer(scope, container), TreeTable(np.float32)
    trees = [one.tree_ for one in getattr(fitted, "estimators_", [fitted])]
    for tree in trees:
        _add_tree(table, tree, tree.value[:, 0, :])
    rows = write.cast(write.rows(operator), np.float32)
    # Added up whole and then divided, as scikit-learn does: two classes of as many trees are equal.
    sums = write.cast(table.write(write, rows, targets=fitted.n_classes_), np.float64)
    shares = write.node("Div", sums, write.constant([len(trees)]))
    label, second = operator.outputs
    write.give_labels(shares, fitted.classes_, label)
    write.give(shares, second)


def boosting(scope: Any, operator: Any, container: Any) -> None:
    """Gradient boosting that begins with a constant."""
    fitted = operator.raw_operator
    if isinstance(fitted.init_, DummyRegressor):
        base = float(np.ravel(fitted.init_.constant_)[0])
    elif fitted.init_ == "zero":
        base = 0.0
    else:
        in_float(scope, operator, container)
        return
    table = TreeTable(np.float32)
    for one in fitted.estimators_[:, 0]:
        _add_tree(table, one.tree_, _values(one.tree_) * fitted.learning_rate)
    _give_sums(Writer(scope, container), operator, table, base)


def _add_tree(table: TreeTable, tree: Any, values: Any) -> None:
    table.add(
        left=tree.children_left,
        right=tree.children_right,
        is_leaf=tree.children_left == -1,
        features=tree.feature,
        thresholds=tree.threshold,
        missing_left=tree.missing_go_to_left,
        values=values,
    )


def _give_sums(write: Writer, operator: Any, table: TreeTable, base: float) -> None:
    sums = table.write(write, write.cast(write.rows(operator), np.float32))
    answer = write.cast(sums, np.float64)
    if base:
        answer = write.node("Add", answer, write.constant([base]))
    write.give(answer, operator.outputs[0])


def _values(tree: Any) -> Any:
    return tree.value[:, 0, :1]
