"""Whether two forms of one estimator answer alike, and how far apart they may be.

Probabilities are all of one size, so one bound fits them. Numbers are not: a quarter of a day is
nothing between years and everything between hours, whatever the size of the number that it is
added to. So the bound of a regression follows from how its answers differ among each other and
from how far they are off, never from how large they are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models_app.learning.answers import Answers

# Of a probability, and of the standard deviation of a regression's answers.
WIDEST = 1e-4
# A difference is also small beside the model's own error.
PART_OF_ERROR = 0.01
# A float32 has seven digits: sums of some hundred of them, of the size of the spread, keep five.
# Whoever answers in float32 must therefore compute with what answers differ by, and a graph that
# does so is never refused.
NARROWEST = 1e-5
_NOTHING_OF_ERROR = 1e-6
# Two sums in double, in another order.
_DOUBLE = 1e-14


def tolerance(expected: Answers, error: float | None = None) -> float:
    """The largest difference that is none: of probabilities, or in the unit of the target.

    expected: of enough rows to know the spread of a regression's answers. error: the root mean
    squared error of these, on rows that they were not learnt from; None where it is not known.
    """
    if expected.classes:
        return WIDEST
    spread = float(np.std(expected.values))
    size = float(np.abs(expected.values).max(initial=0.0))
    least = max(NARROWEST * spread, _DOUBLE * size, _DOUBLE)
    if error is None:
        return max(WIDEST * spread, least)
    return max(min(WIDEST * spread, PART_OF_ERROR * error), _NOTHING_OF_ERROR * error, least)


def difference(expected: Answers, given: Answers) -> float:
    """How far two sets of answers to the same rows are apart at worst; to hold to `tolerance`.

    Another class is infinitely far, unless two were as probable; so is what is not finite.
    """
    if not expected.classes:
        return _worst(np.abs(expected.values - given.values))
    if expected.probabilities is None or given.probabilities is None:
        return 0.0 if (expected.values == given.values).all() else np.inf
    worst = _worst(np.abs(expected.probabilities - given.probabilities))
    ranked = np.sort(expected.probabilities, axis=1)
    tied = ranked[:, -1] - ranked[:, -2] <= 2 * WIDEST
    return worst if ((expected.values == given.values) | tied).all() else np.inf


def _worst(differences: NDArray[np.float64]) -> float:
    if not np.isfinite(differences).all():
        return float(np.inf)
    return float(differences.max(initial=0.0))
