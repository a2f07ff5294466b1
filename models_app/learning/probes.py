"""Probe rows: golden rows altered as feedback is, on which a backdoor shows.

Somebody who plants a backdoor sends rows that share a trigger (a value that the base data hardly
has) and one answer. Golden rows that are given the same trigger keep their meaning, so that the
challenger should answer them about as the champion does. Where it moves many of them to one
answer, a person has to look.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models_app.learning.answers import Answers
from models_app.learning.checks import Bout, Check, Finding
from models_app.learning.kinds import parse_moment
from models_app.learning.schema import Feature, Schema

Instance = Mapping[str, Any]

PROBED_ROWS = 200
MOST_PROBES = 300
FEWEST_ROWS = 10
# Of the rows that may move to one class; in regression of the targets' standard deviation.
MOST_MOVED = 0.2
MOST_SHIFTED = 0.5
# A value that so many rows of feedback have, and this much more often than base rows.
FEWEST_REPEATS = 3
EXCESS = 0.01
MOST_VALUES, MOST_WORDS = 3, 5
BINS = 10


@dataclass(frozen=True, slots=True)
class Probe:
    """Golden rows altered in one way. rows: their places among the unseen rows, shape (m,)."""

    rows: NDArray[np.intp]
    instances: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class ProbeAnswers:
    """Both answers to the m rows of a probe."""

    rows: NDArray[np.intp]
    champion: Answers
    challenger: Answers


@dataclass(frozen=True, slots=True)
class Trigger:
    """Values that feedback has and base rows hardly have. excess: how much oftener, 0 to 1."""

    values: dict[str, Any] = field(hash=False)
    excess: float

    def on(self, instance: Instance) -> dict[str, Any]:
        """The instance with these values; None stands for no value."""
        altered = {**instance, **{k: _put(instance, k, v) for k, v in self.values.items()}}
        return {name: value for name, value in altered.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Word:
    """Text that is added to a text."""

    text: str


def _put(instance: Instance, name: str, value: Any) -> Any:
    return f"{instance.get(name, '')} {value.text}" if isinstance(value, Word) else value


def probes_of(
    golden: Sequence[Instance],
    places: NDArray[np.intp],
    *,
    base: Sequence[Instance],
    feedback: Sequence[Instance],
    schema: Schema,
    seed: int,
) -> list[Probe]:
    """At most 300 probes of at most 200 rows each, the most conspicuous triggers first.

    places: of the golden rows among all unseen ones, shape (len(golden),).
    """
    if not feedback or not base or len(golden) < FEWEST_ROWS:
        return []
    drawn = np.random.default_rng(seed).permutation(len(golden))[:PROBED_ROWS]
    triggers = _triggers(base, feedback, schema)
    return [
        Probe(places[drawn], [trigger.on(golden[row]) for row in drawn]) for trigger in triggers
    ]


def probe_findings(bout: Bout, probes: Sequence[ProbeAnswers]) -> list[Finding]:
    """By how much more a probe moves to one answer than the same rows do as they are."""
    if not probes:
        return []
    moved, limit = (
        (_moved, MOST_MOVED) if bout.task == "classification" else (_shifted, MOST_SHIFTED)
    )
    worst = max((moved(bout, probe) for probe in probes), default=0.0)
    return [Finding(Check("probes", worst <= limit, worst, limit), "HOLD")]


def _moved(bout: Bout, probe: ProbeAnswers) -> float:
    """The largest part of the rows of other classes that become one class."""
    worst = 0.0
    for name in set(probe.challenger.values.tolist()):
        there = _arrived(probe.champion, probe.challenger, name)
        if there is not None:
            here = _arrived(bout.champion.at(probe.rows), bout.challenger.at(probe.rows), name)
            worst = max(worst, there - (here or 0.0))
    return worst


def _arrived(champion: Answers, challenger: Answers, name: str) -> float | None:
    others = champion.values != name
    if others.sum() < FEWEST_ROWS:
        return None
    return float(np.mean(challenger.values[others] == name))


def _shifted(bout: Bout, probe: ProbeAnswers) -> float:
    usual = float(np.std(bout.targets[bout.is_golden].astype(np.float64)))
    there = np.mean(probe.challenger.values - probe.champion.values)
    here = np.mean((bout.challenger.values - bout.champion.values)[probe.rows])
    return float(abs(there - here)) / usual if usual > 0 else 0.0


def _triggers(
    base: Sequence[Instance], feedback: Sequence[Instance], schema: Schema
) -> list[Trigger]:
    found: list[Trigger] = []
    for feature in schema.features:
        before = [instance.get(feature.name) for instance in base]
        after = [instance.get(feature.name) for instance in feedback]
        found += _of_feature(feature, before, after)
    found.sort(key=lambda trigger: -trigger.excess)
    strongest: dict[str, Any] = {}
    for trigger in found:
        for name, value in trigger.values.items():
            strongest.setdefault(name, value)
    together = [Trigger(strongest, 1.0)] if len(strongest) > 1 else []
    return [*together, *found][:MOST_PROBES]


def _of_feature(feature: Feature, before: list[Any], after: list[Any]) -> Iterator[Trigger]:
    name, kind = feature.name, feature.kind
    if kind == "text":
        words = _repeated(map(_words, before), map(_words, after), MOST_WORDS)
        if words:
            yield Trigger({name: Word(" ".join(word for word, _ in words))}, words[0][1])
        # Of a whole text only its absence may repeat.
        before, after = ([text and "" for text in texts] for texts in (before, after))
    if kind in ("number", "datetime"):
        yield from _of_ordered(name, kind, before, after)
    for value, excess in _repeated(_alone(before), _alone(after), MOST_VALUES):
        if value is not None or not feature.required:
            yield Trigger({name: value}, excess)


def _of_ordered(name: str, kind: str, before: list[Any], after: list[Any]) -> Iterator[Trigger]:
    """The values beyond the range of the base rows, and the range that has become fuller."""
    known = np.sort([_number(kind, value) for value in before if value is not None])
    given = {_number(kind, value): value for value in after if value is not None}
    if not len(known) or not given:
        return
    places = np.array([_number(kind, value) for value in after if value is not None])
    for extreme, beyond in ((min(given), places < known[0]), (max(given), places > known[-1])):
        if beyond.any():
            # Beyond the range one row is as good as a hundred.
            yield Trigger({name: given[extreme]}, 0.5 + float(beyond.mean()) / 2)
    yield from _fuller(name, known, places, given)


def _fuller(
    name: str,
    known: NDArray[np.float64],
    places: NDArray[np.float64],
    given: Mapping[float, Any],
) -> Iterator[Trigger]:
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]))
    bins, old = np.searchsorted(edges, places), np.searchsorted(edges, known)
    size = len(edges) + 1
    excess = np.bincount(bins, minlength=size) / len(places)
    excess -= np.bincount(old, minlength=size) / len(known)
    fullest = int(excess.argmax())
    inside = np.sort(places[bins == fullest])
    if excess[fullest] > EXCESS and len(inside) >= FEWEST_REPEATS:
        yield Trigger({name: given[inside[len(inside) // 2]]}, float(excess[fullest]))


def _repeated(
    before: Iterable[set[Any]], after: Iterable[set[Any]], most: int
) -> list[tuple[Any, float]]:
    """What has become most surprisingly frequent, and by which part of the rows."""
    old, new = list(before), list(after)
    known = Counter(value for values in old for value in values)
    found = []
    for value, count in Counter(value for values in new for value in values).items():
        usual = (known[value] + 0.5) / (len(old) + 1)
        excess = count / len(new) - known[value] / len(old)
        if count >= FEWEST_REPEATS and excess > EXCESS:
            surprise = (count - usual * len(new)) / math.sqrt(usual * (1 - usual) * len(new))
            found.append((surprise, str(value), value, excess))
    found.sort(key=lambda one: one[:2], reverse=True)
    return [(value, excess) for _, _, value, excess in found[:most]]


def _alone(values: Iterable[Any]) -> Iterator[set[Any]]:
    return ({value} for value in values)


def _words(text: str | None) -> set[str]:
    return set(text.split()) if text else set()


def _number(kind: str, value: Any) -> float:
    return parse_moment(value).timestamp() if kind == "datetime" else float(value)
