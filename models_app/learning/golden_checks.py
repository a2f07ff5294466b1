"""Checks on the golden rows alone, which no feedback can reach."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models_app.learning.answers import Answers
from models_app.learning.checks import Bout, Check, Finding, Policy, at_least

# Of a score 0.01, of an error a hundredth of it; a larger margin is a larger tolerance.
TOLERANCE = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Anchor:
    """What the first version that served answers. rows: those it may judge, shape (n,)."""

    answers: Answers
    rows: NDArray[np.bool_]


def golden_findings(bout: Bout, policy: Policy, anchor: Anchor | None) -> list[Finding]:
    """All checks on golden rows; where there are none, only that an automatic promotion fails."""
    if not bout.is_golden.any():
        missing = Finding(Check("golden_margin", False, None, policy.margin), "HOLD")
        return [missing] if policy.automatic else []
    found = [_not_worse(bout, policy)]
    if policy.automatic:
        found.append(_better(bout, policy))
    if anchor is not None and (anchor.rows & bout.is_golden).any():
        found.append(_cumulative(bout, policy, anchor))
    return found


def _not_worse(bout: Bout, policy: Policy) -> Finding:
    """Not worse than the champion on golden rows by more than the margin or TOLERANCE.

    Golden rows are few: of 36 a single one is 2.8 points. So a loss beyond the limit that may be
    chance, since the 90 % interval still reaches zero, holds for a person, and one that can
    hardly be chance rejects. Three lost rows and none won are no chance any more.
    """
    delta, _, high = bout.difference(bout.is_golden)
    limit = bout.units(max(policy.margin, TOLERANCE), bout.is_golden)
    may_be_chance = high >= 0
    return Finding(at_least("golden", delta, -limit), "HOLD" if may_be_chance else "REJECT")


def _better(bout: Bout, policy: Policy) -> Finding:
    """Better than the champion by the margin on golden rows alone.

    Only asked where nobody looks before the promotion: what feedback alone says is better, the
    senders of this feedback may have arranged.
    """
    delta, _, _ = bout.difference(bout.is_golden)
    better = at_least("golden_margin", delta, bout.units(policy.margin, bout.is_golden))
    if not delta > 0:
        better = Check("golden_margin", False, better.value, better.limit)
    return Finding(better, "HOLD")


def _cumulative(bout: Bout, policy: Policy, anchor: Anchor) -> Finding:
    """Not worse than the first version that served, so that many small losses have an end.

    It holds and never rejects: where the world has moved on, a person lets it pass.
    """
    rows = anchor.rows & bout.is_golden
    delta, _, _ = bout.difference(rows, anchor.answers)
    limit = bout.units(max(policy.margin, TOLERANCE), rows, anchor.answers)
    return Finding(at_least("anchor", delta, -limit), "HOLD")
