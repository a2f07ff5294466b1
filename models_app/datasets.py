"""Read a table of base data from where a model's declaration says it is."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

import pandas as pd
from django.conf import settings

from models_app import addresses, fetching, table_files
from models_app.declaration import FROM_SETTING
from models_app.learning.conventions import Convention
from models_app.learning.profile import read_rows
from models_app.learning.reading import Reading
from models_app.learning.triggers import SourceState
from models_app.models import RegisteredModel
from models_app.table_files import FileForm


class DataRefused(Exception):
    """The data cannot be used; the message is one sentence for the person who declared it."""


def read_table(source: str) -> pd.DataFrame:
    """The rows of a CSV or Parquet file at a path or an http(s):// or s3:// address.

    `env:DATA_URL` stands for the setting's. The kinds of the columns are those that pandas tells.
    Raises DataRefused when nothing is there, it is not a table, or it has no rows; SourceRefused
    when it may not be fetched or is too much; OSError when its server does not answer now.
    """
    frame, _, _ = _read(source, _as_pandas_tells)
    return frame


def read_texts(source: str, form: FileForm) -> tuple[pd.DataFrame, FileForm, SourceState]:
    """The rows, a CSV's as texts; the form of the file; and what tells if there are others later.

    Raises as `read_table`.
    """
    return _read(source, partial(table_files.parse_texts, form=form))


def read_for(model: RegisteredModel, source: str = "") -> tuple[pd.DataFrame, SourceState]:
    """The rows of a model's data, or of `source`, read as they were when it was declared.

    Raises as `read_table`.
    """
    if not model.reading:
        frame, _, state = _read(source or model.data, _as_pandas_tells)
        return frame, state
    form = FileForm(model.reading["separator"], model.reading["encoding"])
    frame, _, state = read_texts(source or model.data, form)
    target = model.reading["target"]
    convention = Convention(target["kind"], Reading.from_json(target["reading"]))
    return read_rows(frame, model.schema, model.target, convention), state


def _as_pandas_tells(file: IO[bytes]) -> tuple[pd.DataFrame, FileForm]:
    return table_files.parse(file), FileForm()


def _read(
    source: str, parse: Callable[[IO[bytes]], tuple[pd.DataFrame, FileForm]]
) -> tuple[pd.DataFrame, FileForm, SourceState]:
    place = _resolve(source)
    name = _shown(place)
    with _naming(place), _opened(place) as (file, version):
        try:
            frame, form = parse(file)
        except ValueError as error:
            # pandas' parser and decoding errors are ValueErrors.
            why = " ".join(str(error).split())
            raise DataRefused(f"{name}: not a readable table: {why}") from None
    if frame.empty:
        raise DataRefused(f"{name}: no rows")
    frame.columns = frame.columns.map(str)
    if frame.columns.has_duplicates:
        repeated = frame.columns[frame.columns.duplicated()][0]
        raise DataRefused(f"{name}: column {repeated!r} occurs twice")
    return frame, form, _state(place, version, rows=len(frame))


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
