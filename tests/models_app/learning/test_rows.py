from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.learning import tables
from models_app.learning.rows import (
    are_repeats,
    digest_instance,
    digest_repeats,
    digest_rows,
    golden_split,
    holdout_newest,
)
from tests.models_app.learning.real_data import prepared

rows = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from(["a", "b", "c"])), min_size=40, max_size=80
).filter(lambda drawn: len({digest for digest, _ in drawn}) >= 10)


def digests_of(numbers: list[int]) -> list[str]:
    return [digest_instance({"n": number}) for number in numbers]


def test_a_client_and_the_base_data_write_the_same_row_differently() -> None:
    assert digest_instance({"a": 1, "b": "x", "c": None}) == digest_instance({"b": "x", "a": 1.0})
    assert digest_instance({"a": True}) == digest_instance({"a": "true"})
    assert digest_instance({"a": np.float64(0.1)}) == digest_instance({"a": 0.1})


@pytest.mark.parametrize("other", [{"a": 1.5}, {"b": 1}, {}, {"a": 1, "b": 1}])
def test_different_instances_have_different_digests(other: dict[str, float]) -> None:
    assert digest_instance(other) != digest_instance({"a": 1})


def test_the_digest_of_a_set_depends_on_rows_targets_and_order() -> None:
    first, second = {"a": 1}, {"a": 2}
    digest = digest_rows([first, second], ["x", "y"])

    assert digest == digest_rows([{"a": 1.0}, second], ["x", "y"])
    assert digest != digest_rows([second, first], ["y", "x"])
    assert digest != digest_rows([first, second], ["x", "x"])


def test_a_fifth_of_each_class_of_real_data_becomes_golden() -> None:
    wine = prepared("wine")
    digests = [digest_instance(row) for row in tables.instances_of(wine.frame, wine.schema)]

    golden = golden_split(digests, wine.targets, "classification")

    for name in set(wine.targets):
        assert 0.18 < golden[wine.targets == name].mean() < 0.22


@given(rows)
def test_duplicates_stay_on_one_side(drawn: list[tuple[int, str]]) -> None:
    numbers, targets = map(list, zip(*drawn, strict=True))

    golden = golden_split(digests_of(numbers), np.array(targets), "classification")

    sides = set(zip(numbers, golden.tolist(), strict=True))
    assert len(sides) == len(set(numbers))


@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(
    drawn: list[tuple[int, str]], shuffler: random.Random
) -> None:
    def golden_numbers(of: list[tuple[int, str]]) -> set[int]:
        numbers, targets = map(list, zip(*of, strict=True))
        golden = golden_split(digests_of(numbers), np.array(targets), "classification")
        return {number for number, is_golden in zip(numbers, golden, strict=True) if is_golden}

    shuffled = shuffler.sample(drawn, len(drawn))

    assert golden_numbers(drawn) == golden_numbers(shuffled)


def test_a_class_of_one_row_trains() -> None:
    targets = np.array(["rare", *["common"] * 30])

    golden = golden_split(digests_of(list(range(31))), targets, "classification")

    assert not golden[0]
    assert golden.any()


def test_a_small_set_gives_up_to_a_third_for_the_gate_to_have_enough() -> None:
    golden = golden_split(digests_of(list(range(60))), np.arange(60.0), "regression")

    assert golden.sum() == 20


@pytest.mark.parametrize(
    ("numbers", "repeats"),
    [
        ([1, 2, 3] * 10, True),
        (list(range(9)), True),
        (list(range(30)) * 3, True),
        (list(range(30)) * 2, False),
        (list(range(89)) * 3, True),
        (list(range(90)) * 3, False),
        (list(range(1000)), False),
    ],
)
def test_rows_count_one_by_one_where_they_repeat_few_instances(
    numbers: list[int], repeats: bool
) -> None:
    assert are_repeats(digests_of(numbers), np.zeros(len(numbers)), "regression") == repeats


def test_rows_count_one_by_one_where_each_class_is_one_instance() -> None:
    numbers = list(range(100)) * 3
    targets = np.array([str(number) for number in numbers])

    assert are_repeats(digests_of(numbers), targets, "classification")


@given(rows, st.randoms(use_true_random=False))
def test_repeats_are_told_apart_whatever_their_order(
    drawn: list[tuple[int, str]], shuffler: random.Random
) -> None:
    def told(of: list[tuple[int, str]]) -> list[str]:
        numbers, targets = map(list, zip(*of, strict=True))
        return digest_repeats(digests_of(numbers), targets)

    assert sorted(told(drawn)) == sorted(told(shuffler.sample(drawn, len(drawn))))
    assert len(set(told(drawn))) == len(drawn)
    assert set(told(drawn[:-1])) < set(told(drawn))


def test_the_newest_rows_are_held_out() -> None:
    assert holdout_newest(10, 0.3).tolist() == [False] * 7 + [True] * 3
    assert holdout_newest(0, 0.3).tolist() == []


def test_a_share_is_between_nothing_and_all() -> None:
    with pytest.raises(ValueError, match="outside 0 to 1"):
        holdout_newest(10, 1.5)
