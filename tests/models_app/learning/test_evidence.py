from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models_app.learning.evidence import (
    refuse_all_alike,
    refuse_unlearnable,
    unchecked_classes,
)


def classes(*counts: int) -> Any:
    return np.array([f"c{n}" for n, count in enumerate(counts) for _ in range(count)], dtype=object)


@pytest.mark.parametrize("counts", [(1,) * 12, (2,) * 6, (5, *(1,) * 7), (2, 2, 2, 2, 2)])
def test_classes_that_hardly_repeat_are_asked_about(counts: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="have one or two rows, such as 'c") as refusal:
        refuse_unlearnable(classes(*counts), "classification", target="plant")

    told = str(refusal.value)
    assert "Is 'plant' a number?" in told
    assert "Is it a name" in told
    assert told.endswith("at least three rows of each class.")


@pytest.mark.parametrize("counts", [(6, 6), (20, 1), (20, 20, 2), (3, 3, 3, 3), (40, *(1,) * 20)])
def test_a_few_rare_classes_are_no_hindrance(counts: tuple[int, ...]) -> None:
    refuse_unlearnable(classes(*counts), "classification", target="plant")


def test_a_regression_may_have_a_value_of_its_own_in_each_row() -> None:
    refuse_unlearnable(np.arange(12.0), "regression", target="price")


def test_too_few_rows_and_one_answer_alone_are_refused() -> None:
    with pytest.raises(ValueError, match=r"9 rows .* Give at least 10 rows"):
        refuse_unlearnable(np.arange(9.0), "regression", target="price")
    with pytest.raises(ValueError, match=r"the same value of 'price', '7\.0'"):
        refuse_unlearnable(np.full(20, 7.0), "regression", target="price")


def test_rows_that_are_all_alike_are_refused() -> None:
    refuse_all_alike(["a", "b", "a"])

    with pytest.raises(ValueError, match="all 600 rows have the same value in every feature"):
        refuse_all_alike(["a"] * 600)


def test_classes_without_a_golden_row_are_named_the_rarest_first() -> None:
    (told,) = unchecked_classes(classes(9, 2, 1), {"c0"})

    assert "'c2' (1 row), 'c1' (2 rows)" in told
    assert unchecked_classes(classes(9, 2), {"c0", "c1"}) == []
    assert "and 3 more" in unchecked_classes(classes(*(1,) * 8), set())[0]
