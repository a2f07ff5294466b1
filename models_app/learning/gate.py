"""Whether a challenger may replace the champion: one verdict, and every check behind it.

A check that fails rejects. It only holds where the evidence is weak (too few rows, an interval that
reaches zero), and where a person has to decide: a loss of golden rows that may be chance, no gain
on golden rows where the promotion would be automatic, a loss since the first version that served,
and golden rows that are answered otherwise once they are altered as feedback is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models_app.learning.answers import Answers
from models_app.learning.checks import Bout, Check, Finding, Outcome, Policy, at_least, plain
from models_app.learning.evaluation import score
from models_app.learning.golden_checks import Anchor, golden_findings
from models_app.learning.probes import ProbeAnswers, probe_findings
from models_app.learning.slices import slice_findings
from models_app.learning.tables import Task

__all__ = ("Check", "Policy", "Verdict", "judge", "left_to_a_person")

# There is evidence enough, and a person has to say what it means.
FOR_A_PERSON = frozenset({"golden", "golden_margin", "anchor", "probes"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate said, and why: ready for JSON by `dataclasses.asdict`."""

    verdict: Outcome
    checks: tuple[Check, ...]


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
    anchor: Anchor | None = None,
    segments: Mapping[str, NDArray[np.bool_]] | None = None,
    probes: Sequence[ProbeAnswers] = (),
) -> Verdict:
    """Compare a challenger with the champion on n rows that neither trained on.

    targets, is_golden: shape (n,); every Answers has n values. constant: what knowing no
    feature answers. anchor: the first version that served. segments: masks of shape (n,).
    Answers that are not finite are rejected. Without a champion a challenger that is better than
    the constant is promoted, any other is held, and the rest is only reported. Raises ValueError
    where the metric cannot be computed from such answers.
    """
    finite = _finite(challenger)
    enough = at_least("min_rows", len(targets), policy.min_rows)
    if not finite.passed:
        return Verdict("REJECT", (finite, enough))
    if len(targets) == 0:
        return Verdict("HOLD", (finite, enough))
    gain = score(metric, targets, challenger) - score(metric, targets, constant)
    beats = Check("beats_constant", gain > 0, plain(gain), 0.0)
    if champion is None:
        return Verdict("PROMOTE" if beats.passed else "HOLD", (finite, enough, beats))
    bout = Bout(metric, task, targets, is_golden, challenger, champion, seed)
    rest = golden_findings(bout, policy, anchor), slice_findings(bout, segments or {})
    findings = [Finding(beats, "REJECT"), *_against_champion(bout, policy), *chain(*rest)]
    findings += probe_findings(bout, probes)
    verdict = _outcome(findings) if enough.passed else "HOLD"
    return Verdict(verdict, (finite, enough, *(one.check for one in findings)))


def left_to_a_person(verdict: Verdict) -> bool:
    """Whether a challenger is held only by checks that ask for a person's decision."""
    failed = {check.name for check in verdict.checks if not check.passed}
    return verdict.verdict == "HOLD" and failed <= FOR_A_PERSON


def _outcome(findings: Iterable[Finding]) -> Outcome:
    failed = {one.otherwise for one in findings if not one.check.passed}
    for outcome in ("REJECT", "HOLD"):
        if outcome in failed:
            return outcome
    return "PROMOTE"


def _against_champion(bout: Bout, policy: Policy) -> list[Finding]:
    everything = np.ones(len(bout.targets), dtype=np.bool_)
    delta, low, _ = bout.difference(everything)
    margin = bout.units(policy.margin, everything)
    # A tie keeps the champion, also at a margin of 0.
    better = at_least("margin", delta, margin)
    if not delta > 0:
        better = Check("margin", False, better.value, margin)
    return [Finding(better, "REJECT"), Finding(at_least("interval", low, 0.0), "HOLD")]


def _finite(challenger: Answers) -> Check:
    """How many of the challenger's rows hold an answer that is not a finite number."""
    broken = np.zeros(len(challenger.values), dtype=np.bool_)
    if challenger.values.dtype != object:
        broken |= ~np.isfinite(challenger.values)
    if challenger.probabilities is not None:
        broken |= ~np.isfinite(challenger.probabilities).all(axis=1)
    count = float(broken.sum())
    return Check("finite", count == 0, count, 0.0)
