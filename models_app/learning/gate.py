"""Whether a challenger may replace the champion: one verdict, and every check behind it."""

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

SLICE_ROWS = 10
SLICE_FALL = 0.1
# 0.9 - 0.8 is a hair less than 0.1: a limit that is met exactly counts as met.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Policy:
    """margin: absolute for scores, a fraction of the champion's error for error metrics.

    min_rows: unseen rows that both must have answered.
    """

    margin: float = 0.005
    min_rows: int = 30


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was asked, in the metric's units; value is None where undefined."""

    name: str
    passed: bool
    value: float | None
    limit: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate said, and why: ready for JSON by `dataclasses.asdict`."""

    verdict: Outcome
    checks: tuple[Check, ...]


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

    def difference(self, rows: NDArray[np.bool_]) -> tuple[float, float, float]:
        """Challenger minus champion on some rows, and its 90 % interval."""
        return paired_bootstrap(
            self.metric,
            self.targets[rows],
            self.champion.at(rows),
            self.challenger.at(rows),
            seed=self.seed,
        )


def judge(
    *,
    metric: str,
    task: Task,
    targets: NDArray[Any],
    is_golden: NDArray[np.bool_],
    challenger: Answers,
    champion: Answers | None,
    constant: Answers,
    policy: Policy,
    seed: int,
) -> Verdict:
    """Compare a challenger with the champion on n rows that neither trained on.

    targets, is_golden: shape (n,); every Answers has n values. constant: what knowing no
    feature answers. Without a champion any challenger with finite answers is promoted, and
    the rest only reported. Answers that are not finite are rejected; too few rows hold.
    Raises ValueError where the metric cannot be computed from such answers.
    """
    finite = _finite(challenger)
    enough = _at_least("min_rows", len(targets), policy.min_rows)
    if not finite.passed:
        return Verdict("REJECT", (finite, enough))
    if len(targets) == 0:
        return Verdict("PROMOTE" if champion is None else "HOLD", (finite, enough))
    gain = score(metric, targets, challenger) - score(metric, targets, constant)
    alone = (finite, enough, Check("beats_constant", gain > 0, _plain(gain), 0.0))
    if champion is None:
        return Verdict("PROMOTE", alone)
    bout = Bout(metric, task, targets, is_golden, challenger, champion, seed)
    checks = (*alone, *_against_champion(bout, policy))
    return Verdict(_outcome({check.name: check.passed for check in checks}), checks)


def _outcome(passed: dict[str, bool]) -> Outcome:
    if not passed["min_rows"]:
        return "HOLD"
    never = ("beats_constant", "margin", "golden", "slices")
    if not all(passed.get(name, True) for name in never):
        return "REJECT"
    return "PROMOTE" if passed["interval"] else "HOLD"


def _against_champion(bout: Bout, policy: Policy) -> tuple[Check, ...]:
    everything = np.ones(len(bout.targets), dtype=np.bool_)
    delta, low, _ = bout.difference(everything)
    margin = _margin(bout, everything, policy)
    # A tie keeps the champion, also at a margin of 0.
    better = _at_least("margin", delta, margin)
    if not delta > 0:
        better = Check("margin", False, better.value, margin)
    checks = [better, _at_least("interval", low, 0.0)]
    if bout.is_golden.any():
        checks.append(_golden(bout, policy))
    if bout.task == "classification":
        checks += _slices(bout)
    return tuple(checks)


def _golden(bout: Bout, policy: Policy) -> Check:
    """Not worse on golden rows by more than the margin or half the width of its interval.

    Golden rows are few: one that went the other way by chance must not decide, three must.
    """
    delta, low, high = bout.difference(bout.is_golden)
    margin = _margin(bout, bout.is_golden, policy)
    return _at_least("golden", delta, -max(margin, (high - low) / 2))


def _margin(bout: Bout, rows: NDArray[np.bool_], policy: Policy) -> float:
    if not is_error(bout.metric):
        return policy.margin
    return policy.margin * abs(score(bout.metric, bout.targets[rows], bout.champion.at(rows)))


def _slices(bout: Bout) -> list[Check]:
    """By how much the recall of the worst hit class falls; classes of 10 rows and more."""
    falls = []
    for name in sorted(set(bout.targets.tolist())):
        members = bout.targets == name
        if members.sum() >= SLICE_ROWS:
            before = np.mean(bout.champion.values[members] == name)
            falls.append(float(before - np.mean(bout.challenger.values[members] == name)))
    if not falls:
        return []
    worst = max(falls)
    return [Check("slices", worst <= SLICE_FALL + _ROUNDING, worst, SLICE_FALL)]


def _finite(challenger: Answers) -> Check:
    """How many of the challenger's rows hold an answer that is not a finite number."""
    broken = np.zeros(len(challenger.values), dtype=np.bool_)
    if challenger.values.dtype != object:
        broken |= ~np.isfinite(challenger.values)
    if challenger.probabilities is not None:
        broken |= ~np.isfinite(challenger.probabilities).all(axis=1)
    count = float(broken.sum())
    return Check("finite", count == 0, count, 0.0)


def _at_least(name: str, value: float, limit: float) -> Check:
    # NaN compares as false, so what is undefined never passes.
    return Check(name, value >= limit - _ROUNDING, _plain(value), _plain(limit) or 0.0)


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
