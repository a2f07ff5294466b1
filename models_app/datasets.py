"""Read a table of base data from where a model's declaration says it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow.parquet
from django.conf import settings

from models_app import addresses, fetching
from models_app.declaration import FROM_SETTING

MOST_COLUMNS = 10_000
LONGEST_HEADER = 2**20  # bytes
# Parquet packs its columns: what it unpacks to, relative to the limit on what is fetched.
MOST_UNPACKED = 8
MISSING_NUMBERS = ("NA", "N/A", "NaN", "nan", "NULL", "null", "None", "-", "?")


class DataRefused(Exception):
    """The data cannot be used; the message is one sentence for the person who declared it."""


def read_table(source: str) -> pd.DataFrame:
    """The rows of a CSV or Parquet file at a path or an http(s):// or s3:// address.

    `env:DATA_URL` stands for the setting's. Raises DataRefused when nothing is there, it is not
    a table, or it has no rows; SourceRefused when it may not be fetched or is too much; OSError
    when whoever holds it does not answer now.
    """
    place = _resolve(source)
    # What follows the question mark may be a signature that lets anybody in.
    name = place.partition("?")[0]
    try:
        with _file(place) as path:
            frame = pd.read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    except FileNotFoundError:
        raise DataRefused(f"{name}: no such file") from None
    except OSError as error:
        if addresses.is_address(place):
            raise
        raise DataRefused(f"{name}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        # pandas' parser and decoding errors are ValueErrors.
        why = " ".join(str(error).split())
        raise DataRefused(f"{name}: not a readable table: {why}") from None
    if frame.empty:
        raise DataRefused(f"{name}: no rows")
    repeated = sorted({str(name) for name in frame.columns[frame.columns.duplicated()]})
    if repeated:
        raise DataRefused(f"{name}: column {repeated[0]!r} occurs twice")
    return frame.rename(columns=str)


@contextmanager
def _file(place: str) -> Iterator[Path]:
    if not addresses.is_address(place):
        yield Path(place)
        return
    with fetching.fetched(place) as path:
        _refuse_monsters(path)
        yield path


def _refuse_monsters(path: Path) -> None:
    """Raise SourceRefused for a fetched table that would not fit in memory once it is read."""
    if path.suffix == ".parquet":
        about = pyarrow.parquet.read_metadata(path)
        groups = [about.row_group(index).total_byte_size for index in range(about.num_row_groups)]
        columns, unpacked = about.num_columns, sum(groups)
    else:
        with path.open("rb") as file:
            header = file.readline(LONGEST_HEADER)
        if len(header) == LONGEST_HEADER:
            raise addresses.SourceRefused(f"The first line has {LONGEST_HEADER} bytes and more.")
        columns, unpacked = header.count(b",") + 1, 0
    if columns > MOST_COLUMNS:
        raise addresses.SourceRefused(f"It has {columns} columns, {MOST_COLUMNS} are allowed.")
    if unpacked > MOST_UNPACKED * settings.EVERLEARN_DATA_LIMIT * fetching.MIB:
        raise addresses.SourceRefused(f"It unpacks to {unpacked} bytes, far beyond the limit.")


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
