"""How much of a training set, and of the rows that judge, one source of feedback may give.

One source keeps at most `share` of the base rows and of all kept feedback together; so where
1 / share sources have many rows, none has more than `share` of the feedback. All anonymous sources
together count as one source, and rows of trusted sources are outside the limit.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

# A client without an account is known by its network, or by a link that names no maker.
ANONYMOUS = ("address:", "link:")
# In place of the source of rows that a trusted person stands for.
TRUSTED = ""


def is_anonymous(source: str) -> bool:
    """Whether a source is no account: a network or a link, of which one person may have many."""
    return source.startswith(ANONYMOUS)


def largest_part(counts: Sequence[int], *, others: float, share: float) -> int:
    """How many rows one source may keep: the largest n within `share` of all that is kept.

    counts: rows offered by each source. others: rows outside the limit, base rows among them.
    Kept are `others`, and min(count, n) rows of each source. Another source, and more rows of
    one, only add to what is kept, so that they never lower n.
    """

    def too_many(part: int) -> bool:
        return part > share * (others + sum(min(count, part) for count in counts))

    # What is kept grows ever more slowly with n: too many stays too many.
    return bisect_left(range(1, max(counts, default=0) + 1), True, key=too_many)


def divided(counts: Mapping[str, int], room: int) -> dict[str, int]:
    """How many of `room` rows each source gets: all alike, but for those that offer fewer."""
    given: dict[str, int] = {}
    smallest_first = sorted(counts, key=lambda name: (counts[name], name))
    for index, name in enumerate(smallest_first):
        # Rounded up, so that a room of one row is not lost among many.
        given[name] = min(counts[name], -(-room // (len(counts) - index)))
        room -= given[name]
    return given


def limits(counts: Mapping[str, int], *, others: float, share: float) -> dict[str, int]:
    """How many rows each source may keep; see the top of this module.

    counts: rows offered by each source that is not trusted. others: all rows outside the limit.
    """
    anonymous = {name: count for name, count in counts.items() if is_anonymous(name)}
    named = {name: count for name, count in counts.items() if name not in anonymous}
    together = sum(anonymous.values())
    part = largest_part([*named.values(), together], others=others, share=share)
    most = {name: min(count, part) for name, count in named.items()}
    return most | divided(anonymous, min(together, part))


def within_share(sources: Sequence[str], *, others: float, share: float) -> NDArray[np.bool_]:
    """Which rows are kept: a mask of shape (n,), the newest of each source.

    sources: of each row, oldest first; TRUSTED for a row of a trusted source, which is kept.
    others: rows outside the limit besides those.
    """
    counts = Counter(sources)
    trusted = counts.pop(TRUSTED, 0)
    most = limits(counts, others=others + trusted, share=share)
    return _newest(sources, {**most, TRUSTED: trusted})


def held_out(
    sources: Sequence[str], *, part: float, golden_rows: int, share: float
) -> NDArray[np.bool_]:
    """Which rows judge instead of training: a mask of shape (n,), the newest `part` as a rule.

    sources: as in `within_share`. Of each source the same part is held out, so that none only
    trains or only judges. Never more rows than there are golden ones, and of each source no more
    than `share` of the golden and the held out rows together.
    """
    wanted = _newest_part(sources, part)
    names = [name for name, is_wanted in zip(sources, wanted, strict=True) if is_wanted]
    counts = Counter(names)
    trusted = counts.pop(TRUSTED, 0)
    most = limits(counts, others=golden_rows + min(trusted, golden_rows), share=share)
    wanted[wanted] = _newest(names, divided({**most, TRUSTED: trusted}, golden_rows))
    return wanted


def _newest_part(sources: Sequence[str], part: float) -> NDArray[np.bool_]:
    """The newest `part` of each source, rounded down, and the newest of all for the rest."""
    chosen = _newest(sources, {name: int(part * n) for name, n in Counter(sources).items()})
    missing = round(part * len(sources)) - int(chosen.sum())
    for row in reversed(range(len(sources))):
        if missing > 0 and not chosen[row]:
            chosen[row] = True
            missing -= 1
    return chosen


def _newest(sources: Sequence[str], most: Mapping[str, int]) -> NDArray[np.bool_]:
    """The newest rows of each source, at most as many as `most` says."""
    taken: Counter[str] = Counter()
    chosen = np.zeros(len(sources), dtype=np.bool_)
    for row in reversed(range(len(sources))):
        taken[sources[row]] += 1
        chosen[row] = taken[sources[row]] <= most[sources[row]]
    return chosen
