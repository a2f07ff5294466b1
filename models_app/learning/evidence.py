"""Whether rows hold enough to learn from, and what in them is so rare that nothing checks it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from numpy.typing import NDArray

from models_app.learning.tables import Task

FEWEST_ROWS = 10
# A class of fewer rows cannot both be learnt and be judged.
FEWEST_OF_A_CLASS = 3
MOST_NAMED = 5
LONGEST_SHOWN = 80


def refuse_unlearnable(targets: NDArray[Any], task: Task, *, target: str) -> None:
    """Raise ValueError, with the way out, for targets from which nothing can be learnt.

    targets: shape (n,), all known. Too few rows, one answer alone, and classes that hardly ever
    repeat, as names and numbers of rows do.
    """
    name = _shown(target)
    if len(targets) < FEWEST_ROWS:
        raise ValueError(
            f"{len(targets)} rows with a value of {name} are too few to learn from. "
            f"Give at least {FEWEST_ROWS} rows."
        )
    counts = Counter(targets.tolist())
    if len(counts) == 1:
        raise ValueError(
            f"every row has the same value of {name}, {_shown(next(iter(counts)))}: there is "
            "nothing to learn. Give rows with other answers, or choose another target."
        )
    if task == "classification":
        _refuse_singletons(counts, name)


def refuse_all_alike(instances: Sequence[str]) -> None:
    """Raise ValueError when all rows have the same features. instances: a digest a row."""
    if len(set(instances)) == 1:
        raise ValueError(
            f"all {len(instances)} rows have the same value in every feature, so that nothing "
            "tells their answers apart. Give rows that differ, or further columns."
        )


def unchecked_classes(trained: Iterable[Any], judged: Collection[Any]) -> list[str]:
    """A sentence on the classes that train and that no golden row has; none without such.

    trained, judged: the class of each training row, and of each golden one.
    """
    counts, known = Counter(map(str, trained)), set(map(str, judged))
    rare = sorted((count, name) for name, count in counts.items() if name not in known)
    if not rare:
        return []
    named = ", ".join(
        f"{_shown(name)} ({count} {'row' if count == 1 else 'rows'})"
        for count, name in rare[:MOST_NAMED]
    )
    more = f" and {len(rare) - MOST_NAMED} more" if len(rare) > MOST_NAMED else ""
    told = f"No golden row has these classes, so they train and nothing checks them: {named}{more}."
    return [f"{told} With more rows of them the gate can judge how they are recognised."]


def _refuse_singletons(counts: Counter[Any], name: str) -> None:
    rows = sum(counts.values())
    rare = {one: count for one, count in counts.items() if count < FEWEST_OF_A_CLASS}
    if 2 * sum(rare.values()) <= rows:
        return
    example = _shown(min(rare, key=str))
    raise ValueError(
        f"{len(rare)} of the {len(counts)} classes of {name} have one or two rows, such as "
        f"{example}, which is too few to learn them. Is {name} a number? Then declare task = "
        '"regression". Is it a name, or a number that each row has of its own? Then choose another '
        "target, or give at least three rows of each class."
    )


def _shown(value: object) -> str:
    return f"'{str(value)[:LONGEST_SHOWN]}'"
