"""When two forms of one estimator answer alike."""

from __future__ import annotations

import numpy as np
import pytest

from models_app.learning.agreement import difference, tolerance
from models_app.learning.answers import Answers


def numbers(*, offset: float, spread: float = 1.0, rows: int = 500) -> Answers:
    return Answers(np.random.default_rng(0).normal(offset, spread, rows))


def agree(expected: Answers, given: Answers, error: float | None = None) -> bool:
    return difference(expected, given) <= tolerance(expected, error)


@pytest.mark.parametrize(
    ("offset", "spread"), [(0.0, 1e-3), (2.46e6, 1e-3), (2.46e6, 1.0), (-1e9, 1.0), (-1e9, 1e6)]
)
def test_the_size_of_the_numbers_decides_nothing(offset: float, spread: float) -> None:
    expected = numbers(offset=offset, spread=spread)

    assert tolerance(expected) == pytest.approx(1e-4 * spread, rel=0.1)


def test_answers_in_steps_of_a_quarter_differ_where_the_spread_is_one() -> None:
    expected = numbers(offset=2.46e6)
    in_float32 = Answers(expected.values.astype(np.float32).astype(np.float64))

    assert difference(expected, in_float32) == pytest.approx(0.125, rel=0.05)
    assert not agree(expected, in_float32)


@pytest.mark.parametrize("error", [None, 0.0, 1e-9, 0.1, 10.0])
@pytest.mark.parametrize("offset", [0.0, 2.46e6])
def test_a_difference_of_a_ten_millionth_of_the_spread_is_none(
    offset: float, error: float | None
) -> None:
    expected = numbers(offset=offset, spread=100.0)

    assert agree(expected, Answers(expected.values + 1e-7 * 100.0), error)


def test_a_model_that_is_more_exact_than_its_answers_spread_is_held_to_more() -> None:
    expected = numbers(offset=0.0)
    given = Answers(expected.values + 5e-5)

    assert agree(expected, given, error=0.1)
    assert not agree(expected, given, error=0.001)


@pytest.mark.parametrize("value", [0.0, 21.4, 2.46e6])
def test_answers_that_are_all_alike_agree_with_themselves(value: float) -> None:
    same = Answers(np.full(5, value))

    assert agree(same, same)
    assert not agree(same, Answers(same.values + 0.01))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_infinitely_far(value: float) -> None:
    expected = numbers(offset=0.0)
    given = Answers(np.where(expected.values > 0, value, expected.values))

    assert difference(expected, given) == np.inf


def classes(*shares: float) -> Answers:
    """Answers of two classes, each with this probability of the second one."""
    second = np.array(shares)
    values = np.where(second > 0.5, "b", "a").astype(object)
    return Answers(values, np.column_stack([1 - second, second]), ("a", "b"))


def test_probabilities_differ_by_themselves() -> None:
    assert agree(classes(0.3, 0.9), classes(0.30009, 0.9))
    assert not agree(classes(0.3, 0.9), classes(0.3002, 0.9))


def test_another_class_is_infinitely_far_unless_both_were_as_probable() -> None:
    assert agree(classes(0.5), classes(0.50001))
    swapped = Answers(np.array(["b"], dtype=object), classes(0.3).probabilities, ("a", "b"))
    assert difference(classes(0.3), swapped) == np.inf
