"""Histogram gradient boosting, whose thresholds are in double and which may have categories."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn._loss.link import IdentityLink, LogLink

from models_app.converters.categories import CategoryColumns
from models_app.converters.tree_tables import TreeTable
from models_app.converters.writing import Writer


def regression(write: Writer, operator: Any) -> None:
    """Histogram gradient boosting of a number."""
    link, raw = operator.raw_operator._loss.link, _raw(write, operator)
    if not isinstance(link, IdentityLink | LogLink):
        raise NotImplementedError(f"histogram gradient boosting with {type(link).__name__}")
    answer = write.node("Exp", raw) if isinstance(link, LogLink) else raw
    write.give(answer, operator.outputs[0])


def classification(write: Writer, operator: Any) -> None:
    """Histogram gradient boosting of a class."""
    classes = operator.raw_operator.classes_
    label, second = operator.outputs
    shares = write.probabilities(_raw(write, operator), len(classes))
    write.give_labels(shares, classes, label)
    write.give(shares, second)


def _raw(write: Writer, operator: Any) -> str:
    """The sums of the trees and their start, in double: shape (n, trees an iteration)."""
    fitted = operator.raw_operator
    columns, table = CategoryColumns(fitted), TreeTable(np.float64)
    for stage in fitted._predictors:
        for target, tree in enumerate(stage):
            _add_tree(table, tree, columns, target)
    rows = columns.write(write, write.rows(operator))
    sums = table.write(write, rows, targets=fitted.n_trees_per_iteration_)
    start = np.reshape(fitted._baseline_prediction, (1, -1))
    return write.node("Add", write.cast(sums, np.float64), write.constant(start))


def _add_tree(table: TreeTable, tree: Any, columns: CategoryColumns, target: int) -> None:
    features, thresholds = columns.asked_by(tree)
    table.add(
        left=tree.nodes["left"].astype(np.int64),
        right=tree.nodes["right"].astype(np.int64),
        is_leaf=tree.nodes["is_leaf"] != 0,
        features=features,
        thresholds=thresholds,
        missing_left=tree.nodes["missing_go_to_left"],
        values=tree.nodes["value"].reshape(-1, 1),
        target=target,
    )
