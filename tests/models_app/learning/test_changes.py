from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from models_app.learning.changes import schema_changes
from models_app.learning.tables import infer_schema

BEFORE = pd.DataFrame(
    {
        "n": [1.5, 2.5, None],
        "colour": ["red", "green", "red"],
        "yes": ["true", "false", "true"],
        "day": ["2024-01-01", "2024-01-02", "2024-01-03"],
        "kind": ["oak", "elm", "oak"],
    }
)
SCHEMA = infer_schema(BEFORE, target="kind")


def changes(frame: pd.DataFrame, before: pd.DataFrame | None = BEFORE) -> list[str]:
    return schema_changes(frame, SCHEMA, target="kind", task="classification", before=before)


def test_other_rows_in_another_order_of_columns_are_no_change() -> None:
    other = pd.DataFrame(
        {
            "kind": ["ash", "elm"],
            "day": ["2025-01-01", None],
            "yes": [True, False],
            "colour": ["blue", None],
            "n": [None, 3],
            "empty": [None, None],
        }
    )

    assert changes(BEFORE) == changes(other) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"n": ["a", "b", "c"]},
            "column 'n' was number and holds category, as 'a' in row 0 (3 of 3 cells)",
        ),
        (
            {"yes": ["si", "no", "si"]},
            "column 'yes' was boolean and holds category, as 'si' in row 0 (2 of 3 cells)",
        ),
        (
            {"day": ["1.2.24", "x", "y"]},
            "column 'day' was datetime and holds category, as '1.2.24' in row 0 (3 of 3 cells)",
        ),
        ({"colour": [1, 2, 3]}, "column 'colour' was category and holds numbers"),
        ({"kind": [1, 2, 3]}, "the target 'kind' had classes and holds numbers"),
        ({"new": [1, None, None]}, "column 'new' is new"),
    ],
)
def test_a_column_of_another_kind_or_a_new_one_is_named(change: dict[str, Any], told: str) -> None:
    assert changes(BEFORE.assign(**change)) == [told]


def test_all_that_changed_is_named_in_the_order_of_the_schema() -> None:
    frame = BEFORE.drop(columns=["n", "kind"]).assign(yes="on", new=1, newer=2)

    assert changes(frame) == [
        "column 'n' is missing",
        "column 'yes' was boolean and holds category",
        "the target 'kind' is missing",
        "column 'new' is new",
        "column 'newer' is new",
    ]


def test_categories_that_always_were_numbers_may_stay_numbers() -> None:
    codes = BEFORE.assign(colour=["1", "2", "3"])

    assert changes(BEFORE.assign(colour=[4, 5, 6]), before=codes) == []
    assert changes(BEFORE.assign(colour=[4, 5, 6]), before=None) == []


def test_a_target_of_a_regression_has_to_be_a_number() -> None:
    told = schema_changes(BEFORE, SCHEMA, target="kind", task="regression")

    assert told == ["the target 'kind' was number and holds category"]
