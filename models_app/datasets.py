"""Read a table of base data from where a model's declaration says it is."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from django.conf import settings

from models_app.declaration import FROM_SETTING

MISSING_NUMBERS = ("NA", "N/A", "NaN", "nan", "NULL", "null", "None", "-", "?")


class DataRefused(Exception):
    """The data cannot be used; the message is one sentence for the person who declared it."""


def read_table(source: str) -> pd.DataFrame:
    """The rows of a CSV or Parquet file; `env:DATA_URL` stands for the setting's path.

    Raises DataRefused when nothing is there, it is not a table, or it has no rows.
    """
    path = Path(_resolve(source))
    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    except FileNotFoundError:
        raise DataRefused(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        # pandas' parser and decoding errors are ValueErrors.
        why = " ".join(str(error).split())
        raise DataRefused(f"{path}: not a readable table: {why}") from None
    if frame.empty:
        raise DataRefused(f"{path}: no rows")
    repeated = sorted({str(name) for name in frame.columns[frame.columns.duplicated()]})
    if repeated:
        raise DataRefused(f"{path}: column {repeated[0]!r} occurs twice")
    return frame.rename(columns=str)


def _resolve(source: str) -> str:
    if source != FROM_SETTING:
        return source
    if not settings.DATA_URL:
        raise DataRefused(f"the data is declared as {source!r}, but DATA_URL is not set")
    return str(settings.DATA_URL)


def _read_csv(path: Path) -> pd.DataFrame:
    # Only an empty cell is missing: a class or a word called "NA", "None" or "null" is data.
    # Among numbers, though, such a word can only mean that the number is missing.
    frame = pd.read_csv(path, encoding="utf-8-sig", keep_default_na=False, na_values=[""])
    for name in frame.columns[frame.dtypes.map(pd.api.types.is_string_dtype)]:
        if not frame[name].map(type).isin([str, float]).all():
            continue  # pandas reads true and false beside empty cells as Python's own
        known = frame[name].where(~frame[name].isin(MISSING_NUMBERS))
        numbers = pd.to_numeric(known, errors="coerce")
        if known.notna().any() and numbers.notna().equals(known.notna()):
            frame[name] = numbers
    return frame
