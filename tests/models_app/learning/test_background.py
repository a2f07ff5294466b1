from __future__ import annotations

from typing import Any

from models_app.learning.background import background_rows
from models_app.learning.schema import Feature, Schema

SCHEMA = Schema(
    (
        Feature("age", "number"),
        Feature("town", "category"),
        Feature("note", "text"),
        Feature("member", "boolean"),
        Feature("since", "datetime"),
        Feature("rare", "number", required=False),
    )
)


def people(count: int = 40) -> list[dict[str, Any]]:
    return [
        {
            "age": 20.123 + 1.337 * place,
            "town": "Bern" if place % 2 else "Basel",
            "note": f"my name is {place}",
            "member": place % 4 > 0,
            "since": f"20{place % 20:02}-03-17T12:34:56Z",
        }
        for place in range(count)
    ]


def test_no_background_row_holds_a_number_or_a_text_of_a_row() -> None:
    rows = background_rows(SCHEMA, people())

    SCHEMA.check(rows)
    ages = {row["age"] for row in rows}
    assert len(rows) == len(ages) == 3
    assert ages.isdisjoint(row["age"] for row in people())
    assert {row["note"] for row in rows} == {""}
    assert not any(row["since"] in one["since"] for row in rows for one in people())


def test_background_rows_are_usual_ones() -> None:
    low, middle, high = background_rows(SCHEMA, people())

    assert low["age"] == 30
    assert middle["age"] == 50
    assert high["age"] == 60
    assert all(row["member"] for row in (low, middle, high))


def test_a_category_that_few_rows_have_is_never_shown() -> None:
    rows = people() + [{**people()[0], "town": "Guarda"}] * 4

    assert {row["town"] for row in background_rows(SCHEMA, rows)} <= {"Bern", "Basel"}


def test_where_no_category_is_shared_the_most_frequent_one_stands() -> None:
    rows = people(3)

    assert {row["town"] for row in background_rows(SCHEMA, rows)} == {"Basel"}


def test_a_feature_that_no_row_has_is_left_out() -> None:
    assert "rare" not in background_rows(SCHEMA, people())[0]


def test_numbers_that_are_all_alike_stay() -> None:
    rows = [{**row, "age": 33.33} for row in people()]

    assert {row["age"] for row in background_rows(SCHEMA, rows)} == {33.33}


def test_a_single_row_still_gives_a_valid_background() -> None:
    SCHEMA.check(background_rows(SCHEMA, people(1)))
