"""Why an answer came out as it did: what each feature's value contributed to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from models_app.learning.answers import Answers
from models_app.learning.kinds import Columns
from models_app.learning.schema import Feature

_DIGITS = 7


def contributions(
    instances: Columns,
    answered: Answers,
    *,
    background: Columns,
    features: Sequence[Feature],
    ask: Callable[[Columns], Answers],
) -> NDArray[np.float64]:
    """How much each feature's value moved each answer, shape (n, len(features)).

    instances: the encoded rows that `answered` answers, columns of shape (n,). background:
    encoded rows of the usual kind, columns of shape (b,), b > 0. ask: called once, with
    n * len(features) * b rows.

    An entry is the score of the row as it is, less the mean of its scores when the feature's
    value is replaced by each of the background's, all else as it is. The score is the
    probability of the answered class, whether it is the answer where there are no
    probabilities, or the number in regression. Above zero: the value speaks for the answer.
    The entries of a row need not add up to anything, as features act together.

    Source: Robnik-Sikonja & Kononenko (2008), IEEE TKDE 20(5), 589-600, with the difference of
    probabilities; the replaced values from a sample, as Strumbelj & Kononenko (2010), JMLR 11.
    """
    n, rows = len(answered.values), len(next(iter(background.values())))
    varied: Columns = {}
    for name, column in instances.items():
        varied[name] = np.broadcast_to(column[:, None, None], (n, len(features), rows)).copy()
    for place, feature in enumerate(features):
        for name in feature.column_names:
            varied[name][:, place, :] = background[name]
    replaced = ask({name: column.reshape(-1) for name, column in varied.items()})
    before = _scores(answered, answered.values)
    after = _scores(replaced, np.repeat(answered.values, len(features) * rows))
    moved = before[:, None] - after.reshape(n, len(features), rows).mean(axis=2)
    rounded: NDArray[np.float64] = np.round(moved, _DIGITS) + 0.0  # no negative zero
    return rounded


def significant(numbers: NDArray[np.float64], digits: int) -> NDArray[np.float64]:
    """The numbers rounded to so many significant digits: 1234.5 to 1230 with three."""
    sizes = np.where(numbers == 0, 1.0, np.abs(numbers))
    steps = 10.0 ** (np.floor(np.log10(sizes)) - digits + 1)
    rounded: NDArray[np.float64] = np.round(np.round(numbers / steps) * steps, _DIGITS) + 0.0
    return rounded


def _scores(answers: Answers, of: NDArray[np.object_]) -> NDArray[np.float64]:
    """The score of `of`, an answer a row, among the answers of the same rows."""
    scores: NDArray[np.float64]
    if not answers.classes:
        scores = answers.values.astype(np.float64)
    elif answers.probabilities is None:
        scores = (answers.values == of).astype(np.float64)
    else:
        place = {name: index for index, name in enumerate(answers.classes)}
        columns = np.array([place[name] for name in of])
        scores = answers.probabilities[np.arange(len(of)), columns].astype(np.float64)
    return scores
