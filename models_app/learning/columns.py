"""Columns of texts: their cells counted, and read as values of a kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from models_app.learning import cells
from models_app.learning.kinds import Kind
from models_app.learning.reading import Reading

# Beyond so many different cells those that are plain numbers are counted by their shape.
COUNTED = 5000
_PLAIN = cells.PLAIN_NUMBER.pattern
# Numbers of a shape are all alike to what tells how a column is written.
_SHAPES = (r"[+-]?(?:0\d+|\d{16,})", r"[+-]?\d+", r"[+-]?[1-9]\d{0,2}\.\d{3}", _PLAIN)


def holds_texts(series: pd.Series[Any]) -> bool:
    """Whether a column holds texts, whose kind their cells tell, and no values of a type."""
    return isinstance(series.dtype, pd.StringDtype)


def count_cells(series: pd.Series[Any], *, apart: Collection[str] = ()) -> Counter[str]:
    """How often each text occurs, where a plain number may stand for many of its shape.

    apart: texts that stand for themselves alone, as numbers that are words for a missing value.
    """
    counts = series.value_counts(sort=False)
    if len(counts) <= COUNTED:
        return Counter({str(text): count for text, count in counts.items()})
    texts, found = pd.Series(counts.index, dtype="str"), Counter[str]()
    left = ~texts.str.strip().isin(list(apart)).to_numpy(dtype=np.bool_)
    own = ~left
    for shape in _SHAPES:
        alike = left & texts.str.fullmatch(shape).to_numpy(dtype=np.bool_)
        if alike.any():
            found[texts[alike].iloc[0]] = int(counts.to_numpy()[alike].sum())
        left &= ~alike
    left |= own
    rest = zip(texts[left].tolist(), counts.to_numpy()[left].tolist(), strict=True)
    return found + Counter(dict(rest))


def missing_cells(series: pd.Series[Any], kind: Kind, reading: Reading) -> np.ndarray[Any, Any]:
    """Where a column has no value, shape (n,)."""
    if not holds_texts(series):
        return series.isna().to_numpy()
    places, texts = pd.factorize(series)
    missing = np.array([cells.is_missing(text, kind, reading) for text in texts], dtype=np.bool_)
    return np.append(missing, True)[places]


def typed(series: pd.Series[Any], kind: Kind, reading: Reading) -> pd.Series[Any]:
    """The column with its texts read as values, None or NaN where they are missing.

    Numbers become int64 or float64, true and false objects, all others texts; dates as ISO 8601.
    Columns that hold no texts stay as they are. Raises ValueError for the first cell that is no
    value of the kind.
    """
    if not holds_texts(series):
        return series
    places, different = pd.factorize(series)
    texts = pd.Series(different, dtype="str")
    if kind == "number":
        return _taken(_numbers(texts, reading), places, series)
    read = cells.reader_of(kind, reading)
    values = np.array([*map(read, texts), None], dtype=object)
    dtype = object if kind == "boolean" else "str"
    return pd.Series(values[places], index=series.index, name=series.name, dtype=dtype)


def misfit(series: pd.Series[Any], kind: Kind, reading: Reading) -> tuple[Any, str, int] | None:
    """The first cell that is no value of the kind: its place in the index, itself, how many.

    None where all cells are values.
    """
    read, odd = cells.reader_of(kind, reading), Counter[str]()
    for text, count in series.value_counts(sort=False).items():
        try:
            read(str(text))
        except ValueError:
            odd[str(text)] = int(count)
    if not odd:
        return None
    first = series[series.isin(list(odd))]
    return first.index[0], str(first.iloc[0]), sum(odd.values())


def _numbers(texts: pd.Series[Any], reading: Reading) -> np.ndarray[Any, Any]:
    numbers = np.full(len(texts), np.nan)
    plain = texts.str.fullmatch(_PLAIN).to_numpy(dtype=np.bool_, copy=True)
    if reading.decimal != "." or reading.thousands:
        plain[:] = False
    elif reading.missing:
        plain &= ~texts.isin(reading.missing).to_numpy()
    numbers[plain] = pd.to_numeric(texts[plain]).to_numpy(dtype=np.float64)
    read = cells.reader_of("number", reading)
    odd = [read(text) for text in texts[~plain]]
    numbers[~plain] = [np.nan if value is None else value for value in odd]
    return numbers


def _taken(
    numbers: np.ndarray[Any, Any], places: np.ndarray[Any, Any], series: pd.Series[Any]
) -> pd.Series[Any]:
    values = np.append(numbers, np.nan)[places]
    if len(values) and (values == np.round(values)).all() and np.abs(values).max() < 2**53:
        values = values.astype(np.int64)
    return pd.Series(values, index=series.index, name=series.name)
