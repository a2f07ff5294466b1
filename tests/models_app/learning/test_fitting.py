from __future__ import annotations

from typing import Any

import pytest

from models_app.learning.fitting import fitted, misfitting
from models_app.learning.schema import Feature, Schema

SCHEMA = Schema(
    (
        Feature("size", "number", required=True),
        Feature("shop", "category", required=False),
        Feature("sold", "datetime", required=False),
    )
)


@pytest.mark.parametrize(
    ("features", "names"),
    [
        ({"size": 1.0, "shop": "a", "sold": "2024-05-31"}, []),
        ({"size": 1}, []),
        ({"size": 1.0, "gone": "any", "also gone": [1]}, []),
        ({"shop": "a"}, ["size"]),
        ({"size": None}, ["size"]),
        ({"size": "wide", "shop": 1.5, "sold": "soon"}, ["size", "shop", "sold"]),
    ],
)
def test_what_is_missing_or_of_another_kind_is_named(
    features: dict[str, Any], names: list[str]
) -> None:
    assert misfitting(SCHEMA, features) == names


def test_what_is_no_feature_any_more_is_left_out() -> None:
    assert fitted(SCHEMA, {"size": 1.0, "gone": "any"}) == {"size": 1.0}
