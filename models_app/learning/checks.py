"""What the gate asks of a challenger: one check each, and what it means when one fails."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models_app.learning.answers import Answers
from models_app.learning.evaluation import is_error, paired_bootstrap, score
from models_app.learning.tables import Task

Outcome = Literal["PROMOTE", "HOLD", "REJECT"]

# 0.9 - 0.8 is a hair less than 0.1: a limit that is met exactly counts as met.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Policy:
    """margin: absolute for scores, a fraction of the champion's error for error metrics.

    min_rows: unseen rows that both must have answered. automatic: nobody looks at the report
    before the challenger is promoted.
    """

    margin: float = 0.005
    min_rows: int = 30
    automatic: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was asked, in the metric's units; value is None where undefined."""

    name: str
    passed: bool
    value: float | None
    limit: float


@dataclass(frozen=True, slots=True)
class Finding:
    """A check, and the verdict at best when it fails."""

    check: Check
    otherwise: Outcome


@dataclass(frozen=True, slots=True, eq=False)
class Bout:
    """Both answers to the same n unseen rows. is_golden: shape (n,)."""

    metric: str
    task: Task
    targets: NDArray[Any]
    is_golden: NDArray[np.bool_]
    challenger: Answers
    champion: Answers
    seed: int

    def difference(
        self, rows: NDArray[np.bool_], rival: Answers | None = None
    ) -> tuple[float, float, float]:
        """Challenger minus champion, or another rival, on some rows, and its 90 % interval."""
        return paired_bootstrap(
            self.metric,
            self.targets[rows],
            (rival or self.champion).at(rows),
            self.challenger.at(rows),
            seed=self.seed,
        )

    def units(self, part: float, rows: NDArray[np.bool_], rival: Answers | None = None) -> float:
        """`part` in the metric's units: itself for a score, for an error of the rival's error."""
        if not is_error(self.metric):
            return part
        known = (rival or self.champion).at(rows)
        return part * abs(score(self.metric, self.targets[rows], known))


def at_least(name: str, value: float, limit: float) -> Check:
    # NaN compares as false, so what is undefined never passes.
    return Check(name, value >= limit - ROUNDING, plain(value), plain(limit) or 0.0)


def plain(value: float) -> float | None:
    """A number that JSON can say, or None."""
    return float(value) if math.isfinite(value) else None
