from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.learning.source_shares import TRUSTED, held_out, within_share

NAMES = st.sampled_from([*"abcdefgh", *(f"address:10.0.0.{n}" for n in range(6)), TRUSTED])
SOURCES = st.lists(NAMES, max_size=120)
SHARES = st.floats(0.05, 1.0)


def kept(sources: list[str], *, base: float = 100, share: float = 0.2) -> Counter[str]:
    mask = within_share(sources, others=base, share=share)
    return Counter(name for name, is_kept in zip(sources, mask, strict=True) if is_kept)


def judging(sources: list[str], *, golden: int, share: float = 0.2) -> Counter[str]:
    mask = held_out(sources, part=0.3, golden_rows=golden, share=share)
    return Counter(name for name, is_held in zip(sources, mask, strict=True) if is_held)


def together(counts: Counter[str]) -> int:
    return sum(count for name, count in counts.items() if name.startswith("address:"))


def test_four_strangers_with_a_word_each_do_not_silence_a_client() -> None:
    client = ["user:client"] * 299
    strangers = [f"address:10.0.0.{n}" for n in range(2, 6)]

    assert kept([*client, *strangers], base=455)["user:client"] >= kept(client, base=455).total()
    assert kept(client, base=455)["user:client"] == 113  # of 455 + 113 rows a fifth


def test_one_source_alone_keeps_its_share_of_base_data_and_feedback() -> None:
    assert kept(["flood"] * 10_000, base=142)["flood"] == 35


def test_where_many_sources_have_many_rows_none_has_more_than_its_share_of_the_feedback() -> None:
    sources = [*["flood"] * 10_000, *"abcd" * 200]

    counts = kept(sources)

    assert counts["flood"] == max(counts.values())
    assert counts["flood"] <= 0.2 * (counts.total() + 100)
    assert kept(sources, base=0)["flood"] == 200


def test_a_thousand_networks_count_as_one_source() -> None:
    crowd = [f"address:2001:db8:0:{n:x}::" for n in range(1000)]

    assert together(kept(crowd)) == kept(["flood"] * 1000)["flood"] == 25


def test_networks_share_what_all_of_them_may_give() -> None:
    counts = kept([*["address:10.0.0.1"] * 500, *["address:10.0.0.2"] * 5], base=100)

    assert counts == {"address:10.0.0.1": 20, "address:10.0.0.2": 5}


def test_rows_of_a_trusted_source_are_all_kept() -> None:
    assert kept([TRUSTED] * 5000, base=0)[TRUSTED] == 5000


def test_the_newest_rows_of_a_source_are_kept() -> None:
    mask = within_share(["a"] * 100, others=8, share=0.2)

    assert np.flatnonzero(mask).tolist() == [98, 99]


def test_a_share_of_one_keeps_everything() -> None:
    assert kept(["a"] * 1000, base=1, share=1.0).total() == 1000


def test_no_rows_are_no_rows() -> None:
    assert kept([]) == {}
    assert judging([], golden=30) == {}


@given(SOURCES, st.integers(0, 200), SHARES)
def test_no_source_keeps_more_than_its_share(sources: list[str], base: int, share: float) -> None:
    counts = kept(sources, base=base, share=share)

    most = share * (base + counts.total())
    assert together(counts) <= most
    assert all(n <= most for name, n in counts.items() if name != TRUSTED)
    offered = Counter(sources)
    enough = [name for name in offered if offered[name] > counts[name] and name in "abcdefgh"]
    if len(enough) * share >= 1:
        assert all(counts[name] <= share * counts.total() for name in enough)


@given(SOURCES, SOURCES, st.integers(0, 200), SHARES)
def test_more_rows_of_others_never_take_a_row_from_a_source(
    sources: list[str], more: list[str], base: int, share: float
) -> None:
    before, others = kept(sources, base=base, share=share), set(more)
    after = kept([*sources, *more], base=base, share=share)

    named = {name for name in before if not name.startswith("address:")}
    assert all(after[name] >= before[name] for name in named - others)
    assert together(after) >= together(before)


@given(SOURCES, st.integers(0, 60), SHARES)
def test_feedback_never_judges_more_than_golden_rows_nor_a_source_more_than_its_share(
    sources: list[str], golden: int, share: float
) -> None:
    counts = judging(sources, golden=golden, share=share)

    assert counts.total() <= min(golden, round(0.3 * len(sources)))
    most = share * 2 * golden
    assert together(counts) <= most
    assert all(n <= most for name, n in counts.items() if name != TRUSTED)


@pytest.mark.parametrize("order", [1, -1])
def test_of_each_source_the_same_part_judges_however_new_its_rows_are(order: int) -> None:
    sources = [*["a"] * 40, *["b"] * 60][::order]

    assert judging(sources, golden=500, share=1.0) == {"a": 12, "b": 18}


def test_the_newest_rows_judge() -> None:
    mask = held_out([*"abcdefghij"], part=0.3, golden_rows=24, share=0.2)

    assert np.flatnonzero(mask).tolist() == [7, 8, 9]
