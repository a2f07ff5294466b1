from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback_app.fairness import newest_within_share


def by(source: str, count: int) -> list[tuple[str, int]]:
    return [(source, number) for number in range(count)]


def kept(words: list[tuple[str, int]], share: float = 0.2) -> list[tuple[str, int]]:
    return newest_within_share(words, source=lambda word: word[0], share=share)


def test_a_flood_of_one_source_keeps_to_its_share() -> None:
    words = [*by("flood", 1000), *(word for name in "abcdefgh" for word in by(name, 5))]

    counts = Counter(source for source, _ in kept(words))

    assert counts["flood"] == 10
    assert sum(counts.values()) == 50


def test_the_newest_words_of_a_source_are_kept() -> None:
    words = [*by("flood", 100), *(word for name in "abcd" for word in by(name, 2))]

    assert [number for source, number in kept(words) if source == "flood"] == [98, 99]


@pytest.mark.parametrize("sources", ["a", "ab", "abcd"])
def test_with_too_few_sources_to_keep_to_the_share_all_is_kept(sources: str) -> None:
    words = [word for name in sources for word in by(name, 100)]

    assert kept(words) == words


def test_no_words_are_no_words() -> None:
    assert kept([]) == []


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=12),
    st.floats(0.05, 1.0),
)
def test_no_source_gives_more_than_its_share(counts: list[int], share: float) -> None:
    words = [word for name, count in enumerate(counts) for word in by(str(name), count)]

    left = Counter(source for source, _ in kept(words, share))

    if len(counts) * share >= 1:
        assert max(left.values()) <= share * sum(left.values())
    assert set(left) == {source for source, _ in words}
