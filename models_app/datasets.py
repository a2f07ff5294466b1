"""Read a table of base data from where a model's declaration says it is."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pandas as pd
from django.conf import settings

from models_app import addresses, fetching, table_files
from models_app.declaration import FROM_SETTING
from models_app.learning.triggers import SourceState


class DataRefused(Exception):
    """The data cannot be used; the message is one sentence for the person who declared it."""


def read_table(source: str) -> pd.DataFrame:
    """The rows of a CSV or Parquet file at a path or an http(s):// or s3:// address.

    `env:DATA_URL` stands for the setting's. Raises DataRefused when nothing is there, it is not
    a table, or it has no rows; SourceRefused when it may not be fetched or is too much; OSError
    when whoever holds it does not answer now.
    """
    return read(source)[0]


def read(source: str) -> tuple[pd.DataFrame, SourceState]:
    """The rows as `read_table` gives them, and what tells later whether there are others."""
    place = _resolve(source)
    name = _shown(place)
    with _naming(place), _opened(place) as (file, version):
        try:
            frame = table_files.parse(file)
        except ValueError as error:
            # pandas' parser and decoding errors are ValueErrors.
            why = " ".join(str(error).split())
            raise DataRefused(f"{name}: not a readable table: {why}") from None
    if frame.empty:
        raise DataRefused(f"{name}: no rows")
    repeated = sorted({str(name) for name in frame.columns[frame.columns.duplicated()]})
    if repeated:
        raise DataRefused(f"{name}: column {repeated[0]!r} occurs twice")
    return frame.rename(columns=str), _state(place, version, rows=len(frame))


def look(source: str) -> SourceState:
    """What tells whether the data is as it was, without reading it. Raises as `read_table`."""
    place = _resolve(source)
    with _naming(place):
        if addresses.is_address(place):
            return _state(place, fetching.version_of(place))
        return _state(place, _version_of_file(Path(place).stat()))


def _resolve(source: str) -> str:
    if source != FROM_SETTING:
        return source
    if not settings.DATA_URL:
        raise DataRefused(f"the data is declared as {source!r}, but DATA_URL is not set")
    return str(settings.DATA_URL)


def _shown(place: str) -> str:
    # What follows the question mark may be a signature that lets anybody in.
    return place.partition("?")[0]


@contextmanager
def _naming(place: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise DataRefused(f"{_shown(place)}: no such file") from None
    except OSError as error:
        if addresses.is_address(place):
            raise
        raise DataRefused(f"{_shown(place)}: cannot be read: {error.strerror}") from None


@contextmanager
def _opened(place: str) -> Iterator[tuple[IO[bytes], str]]:
    """The data as a file at its beginning, and what changes when the data does."""
    if addresses.is_address(place):
        with fetching.fetched(place) as (file, version):
            yield file, version
        return
    if Path(place).exists() and not Path(place).is_file():
        raise DataRefused(f"{place}: no file that could be read to its end")
    with Path(place).open("rb") as file:
        yield file, _version_of_file(os.fstat(file.fileno()))


def _version_of_file(about: os.stat_result) -> str:
    return f"{about.st_mtime_ns} {about.st_size}"


def _state(place: str, version: str, rows: int | None = None) -> SourceState:
    # Hashed: an address may hold a signature, and a server may call its versions what it likes.
    digest = hashlib.sha256(place.encode()).hexdigest()[:16]
    fingerprint = hashlib.sha256(version.encode()).hexdigest() if version else ""
    return SourceState(digest, fingerprint, rows)
