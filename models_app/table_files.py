"""Parse a file of base data, CSV or Parquet, that somebody may have made to do harm.

A small file can stand for a table beyond all bounds: packed, with one value repeated a billion
times, or with a million columns. So each bound is checked before the table is in memory where
its format allows that, and the memory of the process is bounded where it does not.
"""

from __future__ import annotations

import csv
import io
import os
import resource
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import partial
from typing import IO, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from django.conf import settings
from pyarrow.parquet import ParquetFile

from models_app import csv_faults
from models_app.addresses import SourceRefused

MIB = 2**20
MOST_ROWS = 10_000_000
MOST_COLUMNS = 10_000
LARGEST_CELL = MIB  # bytes; no request could hold a larger one
LONGEST_HEADER = MIB
# What a Parquet file unpacks to: relative to the limit on what is fetched, and to its own size.
MOST_UNPACKED = 8
MOST_RATIO, FREELY_UNPACKED = 1000, 64 * MIB
MOST_PARTS = 30_000  # entries of any list in a Parquet file's footer
CELLS_AT_ONCE, ROWS_AT_ONCE, FEW_ROWS_AT_ONCE = 2**20, 1024, 64
# A thread that finds no memory to begin with ends the whole process.
ALONE: dict[str, Any] = {"use_threads": False, "pre_buffer": False}

ROWS_A_PART = 50_000
FIRST_CODE = 10**15

PARQUET = b"PAR1"
PACKED = {
    b"PK\x03\x04": "zip", b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd", b"7z\xbc\xaf": "7z",
}  # fmt: skip
PAGES = (b"<!doctype", b"<html", b"<?xml")
MISSING_NUMBERS = ("NA", "N/A", "NaN", "nan", "NULL", "null", "None", "-", "?")


@dataclass(frozen=True, slots=True)
class FileForm:
    """How a CSV file is written. separator: "" to be told by its first lines."""

    separator: str = ""
    encoding: str = "utf-8"


def parse(file: IO[bytes]) -> pd.DataFrame:
    """The rows of a file that is open at its beginning, with the kinds that pandas tells.

    For models whose readings were not kept; what the file is, its content tells. Raises
    ValueError when it is no table, SourceRefused when it is beyond a bound.
    """
    return _parsed(file, _read_csv)


def parse_texts(file: IO[bytes], form: FileForm) -> tuple[pd.DataFrame, FileForm]:
    """The rows of a file, a CSV's as texts, and the form that the file turned out to have.

    The index is the line of each row in a CSV file, else its number. Raises as `parse`.
    """
    found = form
    if not form.separator:
        beginning = file.read(LONGEST_HEADER)
        found = replace(form, separator=csv_faults.separator_of(beginning, form.encoding))
        file.seek(0)
    # A whole number beside a missing one would become a float, which keeps 15 digits.
    frame = _parsed(file, partial(_read_texts, form=found), integer_object_nulls=True)
    return _with_plain_values(frame), found


def _parsed(
    file: IO[bytes], read_csv: Callable[[IO[bytes]], pd.DataFrame], **parquet: Any
) -> pd.DataFrame:
    beginning = file.read(LONGEST_HEADER)
    _refuse_what_is_no_table(beginning)
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - len(PARQUET)))
    is_parquet = beginning.startswith(PARQUET) and file.read() == PARQUET
    file.seek(0)
    try:
        with _bounded_memory():
            return _read_parquet(file, size, parquet) if is_parquet else read_csv(file)
    except (MemoryError, pd.errors.ParserError) as error:
        if isinstance(error, ValueError) and "out of memory" not in str(error):
            raise
        limit = settings.EVERLEARN_RUN_MEMORY
        raise SourceRefused(
            f"The data does not fit into {limit} MiB of memory (EVERLEARN_RUN_MEMORY)."
        ) from None


def _refuse_what_is_no_table(beginning: bytes) -> None:
    """An archive may unpack to more than any disk holds; a page says that one has to log in."""
    if kind := csv_faults.spreadsheet(beginning):
        raise ValueError(f"it is {kind}; save it as CSV UTF-8")
    for magic, name in PACKED.items():
        if beginning.startswith(magic):
            raise SourceRefused(f"The data is a {name} file; CSV and Parquet are read as they are.")
    if beginning.lstrip(b"\xef\xbb\xbf \t\r\n")[:20].lower().startswith(PAGES):
        raise ValueError("it is a web page or other XML")


@contextmanager
def _bounded_memory() -> Iterator[None]:
    """Keep this process within what a run may take, whatever a file says of itself."""
    if sys.platform != "linux":
        yield
        return
    before, most = resource.getrlimit(resource.RLIMIT_DATA)
    limit = settings.EVERLEARN_RUN_MEMORY * MIB
    limits = [one for one in (limit, before, most) if one != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, most))


def _read_csv(file: IO[bytes]) -> pd.DataFrame:
    with _naming_faults(file, FileForm(",")):
        # Only an empty cell is missing: a class or a word called "NA" or "null" is data.
        frame = pd.read_csv(
            file, encoding="utf-8-sig", keep_default_na=False, na_values=[""],
            index_col=False, nrows=MOST_ROWS + 1,
        )  # fmt: skip
    _refuse_size(rows=len(frame))
    for name in frame.columns[frame.dtypes.map(pd.api.types.is_string_dtype)]:
        _refuse_cell(frame[name].astype("str").str.len().max(), name)
    return _with_numbers(frame)


def _read_texts(file: IO[bytes], form: FileForm) -> pd.DataFrame:
    """A CSV file, its cells as texts; the index is the line of each row."""
    encoding = csv_faults.codec_of(form.encoding)
    with _naming_faults(file, form) as header:
        options: dict[str, Any] = {
            "sep": form.separator, "encoding": encoding,
            "skipinitialspace": csv_faults.has_blanks_after(header, form.separator),
        }  # fmt: skip
        try:
            frame = _texts(file, options)
        except (pd.errors.ParserWarning, pd.errors.ParserError):
            if csv_faults.uneven(file, form.separator, form.encoding):
                raise
            # Each row ends with a separator: there are cells beyond the header, and all are empty.
            file.seek(0)
            columns = csv_faults.columns_of(header, form.separator)
            frame = _texts(file, {**options, "usecols": range(columns)})
    frame.columns = [str(name).strip() for name in frame.columns]
    rows = len(frame)
    lines = csv_faults.lines_of(file, form.separator, encoding, rows)
    # pandas and csv agree on what a row is; where they do not, any number is better than none.
    frame.index = pd.RangeIndex(rows) if lines is None else pd.Index(lines, name="line")
    return frame


def _texts(file: IO[bytes], options: Mapping[str, Any]) -> pd.DataFrame:
    """A part at a time, as the texts of all cells at once would take many times their size."""
    parts, rows = [], 0
    how: dict[str, Any] = {
        "dtype": "str", "na_filter": False, "index_col": False, "chunksize": ROWS_A_PART,
    }  # fmt: skip
    with pd.read_csv(file, **how, **options) as reader:
        for part in reader:
            rows += len(part)
            _refuse_size(rows=rows)
            for name in part.columns:
                _refuse_cell(part[name].str.len().max(), str(name))
            parts.append(part)
    frame: pd.DataFrame = pd.concat(parts)
    return frame


@contextmanager
def _naming_faults(file: IO[bytes], form: FileForm) -> Iterator[str]:
    """Say of what pandas cannot read where in the file it stands. Gives the beginning as text."""
    beginning = file.read(2 * LONGEST_HEADER)
    text = csv_faults.decoded(beginning, form.encoding)
    _refuse_wide(text, form.separator)
    csv_faults.refuse_header(beginning, text, form.separator)
    file.seek(0)
    with warnings.catch_warnings():
        # Rows with more cells than the header would otherwise lose some.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            yield text
        except UnicodeDecodeError:
            raise ValueError(csv_faults.undecodable(file, form.encoding)) from None
        except (pd.errors.ParserWarning, pd.errors.ParserError) as error:
            if "out of memory" in str(error):
                raise
            uneven = csv_faults.uneven(file, form.separator, form.encoding)
            raise ValueError(uneven or str(error)) from None


def _with_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Among numbers a word for what is missing can only mean that the number is missing."""
    for name in frame.columns[frame.dtypes.map(pd.api.types.is_string_dtype)]:
        if not frame[name].map(type).isin([str, float]).all():
            continue  # pandas reads true and false beside empty cells as Python's own
        known = frame[name].where(~frame[name].isin(MISSING_NUMBERS))
        numbers = pd.to_numeric(known, errors="coerce")
        if known.notna().any() and numbers.notna().equals(known.notna()):
            frame[name] = numbers
    return frame


def _refuse_wide(text: str, separator: str) -> None:
    """Count the cells of the first two rows; pandas takes forever over a million of them."""
    lines = io.StringIO(text, newline="")
    rows = (row for row in csv.reader(lines, delimiter=separator) if row)
    try:
        header = next(rows, [])
    except csv.Error:
        header = [text]
    _refuse_size(columns=len(header))
    if sum(map(len, header)) > LONGEST_HEADER:
        raise SourceRefused(f"Its first line has more than {LONGEST_HEADER} characters.")
    with suppress(csv.Error):  # a long cell is looked at with all others
        _refuse_size(columns=len(next(rows, [])))


def _read_parquet(file: IO[bytes], size: int, options: Mapping[str, Any]) -> pd.DataFrame:
    try:
        _vet_parquet(file, size)
        file.seek(0)
        return pd.read_parquet(file, **ALONE, to_pandas_kwargs={"use_threads": False, **options})
    except MemoryError:
        raise
    except (OSError, pa.ArrowException) as error:
        # Some of its errors are no ValueErrors, as those of its footer and of its compression.
        if "Exceeded size limit" in str(error):
            raise SourceRefused(f"It has more than {MOST_PARTS} parts.") from None
        raise ValueError(str(error)) from None


def _with_plain_values(frame: pd.DataFrame) -> pd.DataFrame:
    """DECIMAL as numbers, bytes and numbers of many digits as text.

    Raises ValueError for values that no feature can have.
    """
    for name in frame.columns:
        frame[name] = _plain(frame[name])
    return frame


def _plain(series: pd.Series[Any]) -> pd.Series[Any]:
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(series.cat.categories.dtype)
    if series.dtype.kind == "m":
        raise ValueError(f"column {series.name!r} holds durations; write them as numbers")
    if series.dtype.kind in "iu":
        return _codes_or_numbers(series)
    if not pd.api.types.is_object_dtype(series.dtype):
        return series
    kinds = frozenset(map(type, series.dropna()))
    if plain := _PLAIN_OF.get(kinds):
        return plain(series)
    if not kinds <= {bool, date, str, int, float}:
        called = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(f"column {series.name!r} holds {called}, which is no kind of a feature")
    return series


def _codes_or_numbers(series: pd.Series[Any]) -> pd.Series[Any]:
    """Whole numbers; as texts where one has more digits than a float keeps."""
    known = series.dropna()
    if len(known) and max(known.max(), -known.min()) >= FIRST_CODE:
        texts = [None if pd.isna(value) else str(value) for value in series]
        return pd.Series(texts, index=series.index, name=series.name, dtype="str")
    return series if len(known) == len(series) else series.astype("float64")


def _decoded(series: pd.Series[Any]) -> pd.Series[Any]:
    try:
        texts = [None if value is None else value.decode() for value in series]
    except UnicodeDecodeError:
        raise ValueError(f"column {series.name!r} holds bytes that are no UTF-8 text") from None
    return pd.Series(texts, index=series.index, name=series.name, dtype="str")


_PLAIN_OF: dict[frozenset[type], Callable[[pd.Series[Any]], pd.Series[Any]]] = {
    frozenset((Decimal,)): lambda series: series.astype("float64"),
    frozenset((bytes,)): _decoded,
    frozenset((int,)): _codes_or_numbers,
}


def _vet_parquet(file: IO[bytes], size: int) -> None:
    """Go through all that it holds, a little at a time: what its footer says may be a lie."""
    about = ParquetFile(file, thrift_container_size_limit=MOST_PARTS, pre_buffer=False)
    columns = about.metadata.num_columns
    _refuse_size(rows=about.metadata.num_rows, columns=columns)
    for field in about.schema_arrow:
        if pa.types.is_nested(field.type) or pa.types.is_fixed_size_binary(field.type):
            raise ValueError(f"column {field.name!r} holds {field.type}, which is no single value")
    most = MOST_UNPACKED * settings.EVERLEARN_DATA_LIMIT * MIB
    most = min(most, max(FREELY_UNPACKED, MOST_RATIO * size))
    texts = [field.name for field in about.schema_arrow if _is_text(field.type)]
    at_once = min(ROWS_AT_ONCE, CELLS_AT_ONCE // max(1, columns))
    try:
        # As dictionaries, so that a value which is repeated a million times is there once.
        as_dictionaries = ParquetFile(file, read_dictionary=texts, pre_buffer=False)
        _refuse_unpacked(as_dictionaries.iter_batches(at_once, use_threads=False), most)
    except OSError as error:
        # Some encodings of text only come unpacked.
        if "Not yet implemented" not in str(error):
            raise
        few = min(FEW_ROWS_AT_ONCE, at_once)
        _refuse_unpacked(about.iter_batches(few, use_threads=False), most)


def _refuse_unpacked(batches: Iterator[pa.RecordBatch], most: int) -> None:
    rows = unpacked = 0
    for batch in batches:
        rows += batch.num_rows
        unpacked += sum(map(_unpacked, batch.columns, batch.schema.names))
        _refuse_size(rows=rows)
        if unpacked > most:
            raise SourceRefused(f"It unpacks to more than {most // MIB} MiB.")


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def _unpacked(column: pa.Array, name: str) -> int:
    """Bytes that a column takes once no value stands for others any more."""
    if isinstance(column, pa.DictionaryArray):
        values, places = column.dictionary, column.indices
        if not _is_text(values.type):
            return 8 * len(column)
        lengths = pc.binary_length(values)
        _refuse_cell(pc.max(lengths).as_py(), name)
        return pc.sum(lengths.take(places)).as_py() or 0
    if _is_text(column.type):
        _refuse_cell(pc.max(pc.binary_length(column)).as_py(), name)
    return int(column.nbytes)


def _refuse_size(*, rows: int = 0, columns: int = 0) -> None:
    if rows > MOST_ROWS:
        raise SourceRefused(f"It has more than {MOST_ROWS} rows, the most that are read.")
    if columns > MOST_COLUMNS:
        raise SourceRefused(f"It has {columns} columns, {MOST_COLUMNS} are allowed.")


def _refuse_cell(longest: Any, name: str) -> None:
    if longest is not None and longest > LARGEST_CELL:
        raise SourceRefused(
            f"Column {name[:80]!r} has a cell of {int(longest)} characters, "
            f"{LARGEST_CELL} are allowed."
        )
