from __future__ import annotations

import numpy as np
import pytest

from models_app.learning.answers import Answers
from models_app.learning.explanation import contributions, significant
from models_app.learning.kinds import Columns
from models_app.learning.schema import Feature, Schema

SCHEMA = Schema((Feature("length", "number"), Feature("width", "number"), Feature("hue", "number")))
CHANCE = np.random.default_rng(0)


def some(rows: int) -> Columns:
    return {name: CHANCE.normal(size=rows) for name in SCHEMA.names}


def sum_of(columns: Columns) -> Answers:
    """It does not look at the hue."""
    return Answers(3 * columns["length"] - 2 * columns["width"])


def likeliest(columns: Columns) -> Answers:
    oak = 1 / (1 + np.exp(-columns["length"]))
    values = np.where(oak > 0.5, "oak", "elm").astype(object)
    return Answers(values, np.stack([1 - oak, oak], axis=1), ("elm", "oak"))


def test_in_a_sum_each_feature_contributes_its_term_against_the_usual_one() -> None:
    asked, usual = some(5), some(7)

    moved = contributions(
        asked, sum_of(asked), background=usual, features=SCHEMA.features, ask=sum_of
    )

    assert moved.shape == (5, 3)
    assert moved[:, 0] == pytest.approx(3 * (asked["length"] - usual["length"].mean()), abs=1e-6)
    assert moved[:, 1] == pytest.approx(-2 * (asked["width"] - usual["width"].mean()), abs=1e-6)
    assert (moved[:, 2] == 0).all()


def test_a_class_is_explained_by_its_own_probability() -> None:
    asked = {name: np.array([4.0, -4.0]) for name in SCHEMA.names}
    usual = {name: np.array([0.0]) for name in SCHEMA.names}

    moved = contributions(
        asked, likeliest(asked), background=usual, features=SCHEMA.features, ask=likeliest
    )

    far = 1 / (1 + np.exp(-4)) - 0.5
    assert moved[:, 0] == pytest.approx([far, far], abs=1e-6)
    assert (moved[:, 1:] == 0).all()


def test_without_probabilities_it_counts_how_often_the_answer_would_have_stayed() -> None:
    def decided(columns: Columns) -> Answers:
        return Answers(likeliest(columns).values, None, ("elm", "oak"))

    asked = {name: np.array([1.0]) for name in SCHEMA.names}
    usual = {name: np.array([1.0, -1.0, -1.0, -1.0]) for name in SCHEMA.names}

    moved = contributions(
        asked, decided(asked), background=usual, features=SCHEMA.features, ask=decided
    )

    assert moved.tolist() == [[0.75, 0.0, 0.0]]


def test_the_parts_of_a_date_are_one_feature() -> None:
    schema = Schema((Feature("length", "number"), Feature("picked", "datetime")))
    asked = schema.columns([{"length": 1.0, "picked": "2024-05-31T12:00:00Z"}])
    usual = schema.columns([{"length": 0.0, "picked": "2020-01-01T00:00:00Z"}])

    def age(columns: Columns) -> Answers:
        return Answers(columns["picked__days"] + 1000 * columns["picked__hour"])

    moved = contributions(asked, age(asked), background=usual, features=schema.features, ask=age)

    assert moved.tolist() == [[0.0, 1612.5 + 12_000]]


def test_everything_is_asked_at_once_and_nothing_given_is_changed() -> None:
    asked, usual = some(2), some(3)
    before = {name: column.copy() for name, column in asked.items()}
    batches = []

    def noted(columns: Columns) -> Answers:
        batches.append(len(columns["length"]))
        return sum_of(columns)

    contributions(asked, sum_of(asked), background=usual, features=SCHEMA.features, ask=noted)

    assert batches == [2 * 3 * 3]
    assert all((asked[name] == before[name]).all() for name in asked)


def test_significant_digits_count_from_the_first_one_that_is_not_zero() -> None:
    numbers = np.array([1234.5, -0.0123456, 0.0, 0.9999, 7.0])

    assert significant(numbers, 3).tolist() == [1230.0, -0.0123, 0.0, 1.0, 7.0]
