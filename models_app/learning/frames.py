"""Raw rows of a DataFrame, as a notebook or a file reader has them, as instances."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from models_app.learning.kinds import Kind
from models_app.learning.schema import Schema


def raw_instances(rows: pd.DataFrame, schema: Schema) -> list[dict[str, Any]]:
    """The n rows as the JSON objects that a client would send, for `schema.check` to judge.

    Columns that are no features are left out. A missing cell (None, NaN, NaT, NA) is None;
    NumPy's and pandas' values are what they stand for in JSON, and a date is ISO 8601 text.
    """
    names = [name for name in schema.names if name in rows]
    kind_of = {one.name: one.kind for one in schema.features}
    columns = [_json_values(rows[name].astype(object).tolist(), kind_of[name]) for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _json_values(cells: Sequence[Any], kind: Kind) -> list[Any]:
    return [_json_value(cell, kind) for cell in cells]


def _json_value(cell: Any, kind: Kind) -> Any:
    if pd.api.types.is_scalar(cell) and pd.isna(cell):
        return None
    if isinstance(cell, np.datetime64):
        cell = pd.Timestamp(cell)
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, np.generic):
        cell = cell.item()
    if isinstance(cell, Decimal):
        cell = float(cell)
    if kind == "category" and isinstance(cell, float) and cell.is_integer():
        # A column of integers is one of floats in pandas as soon as a cell is missing.
        return int(cell)
    return cell
