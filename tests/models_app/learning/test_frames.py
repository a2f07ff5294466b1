from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models_app.learning.frames import raw_instances
from models_app.learning.schema import Feature, Schema

ALL = Schema(
    (
        Feature("age", "number"),
        Feature("active", "boolean"),
        Feature("branch", "category"),
        Feature("note", "text"),
        Feature("joined", "datetime"),
    )
)


def instance(**cells: Any) -> dict[str, Any]:
    (only,) = raw_instances(pd.DataFrame({name: [cell] for name, cell in cells.items()}), ALL)
    return only


@pytest.mark.parametrize(
    ("name", "cell", "expected"),
    [
        ("age", np.int64(7), 7),
        ("age", np.float32(0.5), 0.5),
        ("age", Decimal("8.25"), 8.25),
        ("age", 7.0, 7.0),
        ("active", np.bool_(True), True),
        ("branch", np.str_("007"), "007"),
        ("branch", 2.0, 2),
        ("branch", 2.5, 2.5),
        ("branch", True, True),
        ("note", "2.0", "2.0"),
        ("joined", "2024-05-04", "2024-05-04"),
        ("joined", date(2024, 5, 4), "2024-05-04"),
        ("joined", datetime(2024, 5, 4, 7), "2024-05-04T07:00:00"),  # noqa: DTZ001
        ("joined", pd.Timestamp("2024-05-04T07:00+02:00"), "2024-05-04T07:00:00+02:00"),
        ("joined", np.datetime64("2024-05-04"), "2024-05-04T00:00:00"),
        *((name, cell, None) for name in ALL.names for cell in (None, np.nan, pd.NA, pd.NaT)),
    ],
)
def test_a_cell_is_what_a_client_would_send(name: str, cell: Any, expected: Any) -> None:
    given = instance(**{name: cell})[name]

    assert (given, type(given)) == (expected, type(expected))


def test_what_no_json_says_is_left_for_the_schema_to_refuse() -> None:
    assert instance(note=["a"], branch=b"x") == {"branch": b"x", "note": ["a"]}


def test_only_features_are_taken_and_the_rows_keep_their_order() -> None:
    rows = pd.DataFrame({"id": [1, 2], "note": ["b", "a"], "age": [3, np.nan]}, index=[9, 4])

    assert raw_instances(rows, ALL) == [{"age": 3.0, "note": "b"}, {"age": None, "note": "a"}]
