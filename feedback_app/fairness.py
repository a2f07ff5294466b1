"""How much of a training set's feedback one source may give."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

Word = TypeVar("Word")


def newest_within_share(
    words: Sequence[Word], *, source: Callable[[Word], str], share: float
) -> list[Word]:
    """The words, oldest first, without the oldest of a source that gave too many.

    share: the largest part of what is returned that one source may have given. With fewer
    sources than 1 / share none could keep to it, and everything is returned.
    """
    most = _most_of_one([*Counter(map(source, words)).values()], share)
    taken: Counter[str] = Counter()
    kept = []
    for word in reversed(words):
        taken[source(word)] += 1
        if taken[source(word)] <= most:
            kept.append(word)
    return kept[::-1]


def _most_of_one(counts: Collection[int], share: float) -> int:
    """The most that one source may give so that it stays within `share` of all that is kept."""
    if len(counts) * share < 1:
        return max(counts, default=0)

    def too_many(most: int) -> bool:
        return most > share * sum(min(count, most) for count in counts)

    # Too many stays too many with every further one, so the border can be bisected.
    return bisect_left(range(1, max(counts) + 1), True, key=too_many)
