"""Rows to predict, from files of CSV or NDJSON.

The cells of a CSV file are read as those of the training data are: by the schema's readings.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import IO, Any, NamedTuple

from rest_framework.exceptions import APIException
from rest_framework.settings import api_settings

from models_app import csv_faults
from models_app.learning import cells
from models_app.learning.schema import MAX_PROBLEMS, Problem, Schema
from models_app.learning.spelling import MAX_HINTS, unknown_name
from models_app.refusals import InvalidInput, TooMuch

JsonObject = dict[str, Any]

SEPARATORS = (",", *csv_faults.OTHER_SEPARATORS)
MOST_COLUMNS = 10_000  # as of base data
# Of each row, and of all rows beyond the first few with problems.
MAX_TOLD, TOLD_IN_SHORT = 5, 1
# Of one line, as of the body of one request.
LONGEST_LINE = 2**20
LINE_PROBLEM = Problem("", "value_too_long", f"The line has more than {LONGEST_LINE} bytes.")
CELL_PROBLEM = Problem("", "value_too_long", "A cell of the row is too long to be read.")
NO_FEATURE = Problem("", "no_features", "None of the names is that of a feature.")

_SHOWN = 80


@dataclass(slots=True)
class Row:
    """One row: an instance that fits the schema, or why it does not, and what is copied.

    cells: those of a CSV file, one for each name of its header. further: the members of a line of
    JSON that are no features. size: how many characters all of it has.
    """

    instance: JsonObject
    problems: list[Problem]
    cells: Sequence[str] = ()
    further: JsonObject = field(default_factory=dict)
    size: int = 0

    @property
    def error(self) -> str:
        told = [f"{one.attr}: {one.detail}" if one.attr else one.detail for one in self.problems]
        return " ".join(told)


class Header(NamedTuple):
    """The names of a CSV file's columns, "" for those without one, and what separates its cells."""

    names: tuple[str, ...]
    separator: str


def header_of(
    beginning: bytes, schema: Schema, *, separator: str = ",", cut: bool = False
) -> Header:
    """The header of a CSV file that begins so, split by what shows most of the schema's features.

    separator: what is tried first. cut: whether the file goes on. Columns that are no features may
    be there. Raises InvalidInput where a required feature is not, or a name occurs twice.
    """
    text = beginning.decode("utf-8-sig", errors="replace")
    tried = dict.fromkeys([separator, *SEPARATORS])
    headers = [Header(_names_of(text, one), one) for one in tried]
    header = max(headers, key=lambda one: len(_places(one.names, schema)))
    if problems := list(islice(_problems_of_header(header.names, schema), MAX_PROBLEMS)):
        raise InvalidInput(problems)
    if cut and len(text.splitlines()) < 2:
        raise InvalidInput([Problem("", "value_too_long", "The first line is too long.")])
    return header


def _names_of(text: str, separator: str) -> tuple[str, ...]:
    records = _records(io.StringIO(text, newline=""), separator)
    return tuple(name.strip() for name in next(records, None) or ())


def _places(names: Sequence[str], schema: Schema) -> dict[str, int]:
    """Where each feature stands that is there."""
    known = frozenset(schema.names)
    # pandas gives a column without a name this one, and so do models that it read the data for.
    called = [name or f"Unnamed: {place}" for place, name in enumerate(names)]
    return {name: place for place, name in enumerate(called) if name in known}


def _problems_of_header(names: Sequence[str], schema: Schema) -> Iterator[Problem]:
    if len(names) > MOST_COLUMNS:
        detail = f"The file has {len(names)} columns, {MOST_COLUMNS} are allowed."
        yield Problem("", "too_many_fields", detail)
    for name, times in Counter(filter(None, names)).items():
        if times > 1:
            detail = f"The column occurs {times} times; give each its own name."
            yield Problem(name[:_SHOWN], "duplicate_name", detail)
    found = _places(names, schema)
    missing = [one.name for one in schema.features if one.required and one.name not in found]
    if not found and not missing:
        yield NO_FEATURE
    others = [name for name in names if name and name not in found]
    for number, name in enumerate(missing):
        told = unknown_name("column", name, others, hint=number < MAX_HINTS)
        yield Problem(name, "required", f"{told} The feature is required.")


def rows(file: IO[bytes], form: str, schema: Schema, *, separator: str = ",") -> Iterator[Row]:
    """Each row of a file in turn, checked against the schema; empty lines are none.

    separator: of a CSV file, as `header_of` tells it.
    """
    return _csv_rows(file, schema, separator) if form == "csv" else _ndjson_rows(file, schema)


def _csv_rows(file: IO[bytes], schema: Schema, separator: str) -> Iterator[Row]:
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    records = _records(_short_lines(text), separator)
    names = [name.strip() for name in next(records, None) or ()]
    row_of = _RowOfCells(names, schema)
    for record in records:
        yield row_of(record)


def _short_lines(text: io.TextIOWrapper) -> Iterator[str]:
    """The lines of a CSV file; one that is too long becomes one that no reader takes for a row."""
    while line := text.readline(LONGEST_LINE):
        if len(line) < LONGEST_LINE or line.endswith(("\n", "\r")):
            yield line
            continue
        while (rest := text.readline(LONGEST_LINE)) and not rest.endswith(("\n", "\r")):
            pass
        # Longer than a cell may be, also where it stands within quotes.
        yield "x" * (csv.field_size_limit() + 1)


def _records(lines: Iterator[str], separator: str) -> Iterator[list[str] | None]:
    """The cells of the header and of each row; None for a row with a cell beyond all measure."""
    first = next(lines, "")
    blanks = csv_faults.has_blanks_after(first, separator)
    records = csv.reader(chain([first], lines), delimiter=separator, skipinitialspace=blanks)
    while True:
        try:
            record = next(records)
        except csv.Error:  # the next line is read afresh
            yield None
        except StopIteration:
            return
        else:
            if len(record) > 1 or (record and not record[0].isspace()):
                yield record


class _RowOfCells:
    """Reads the cells of a row, each as its column is read in the training data."""

    def __init__(self, names: Sequence[str], schema: Schema) -> None:
        self._width = len(names)
        places = _places(names, schema)
        self._columns = [
            (places[one.name], one.name, cells.reader_of(one.kind, one.reading))
            for one in schema.features
            if one.name in places
        ]
        self._numbers = {one.name for one in schema.features if one.kind == "number"}
        self._check = _Check(schema)

    def __call__(self, record: list[str] | None) -> Row:
        if record is None:
            return Row({}, [CELL_PROBLEM], [""] * self._width)
        if any(map(str.strip, record[self._width :])):
            detail = f"The row has {len(record)} cells, the header has {self._width}."
            return Row({}, [Problem("", "invalid_row", detail)], record[: self._width])
        if len(record) != self._width:
            # Cells that a row lacks are empty, as a separator at its end stands before nothing.
            record = record[: self._width] + [""] * (self._width - len(record))
        instance, odd = self._read(record)
        problems = self._check(instance)
        if odd:
            problems = [_naming_cell(one, odd) for one in problems]
        return Row(instance, problems, record, size=sum(map(len, record)))

    def _read(self, record: Sequence[str]) -> tuple[JsonObject, dict[str, str]]:
        """The instance, and the cells that are no values, which stay texts in it."""
        instance: JsonObject = {}
        odd: dict[str, str] = {}
        for place, name, read in self._columns:
            if not (cell := record[place]):
                continue
            try:
                value = read(cell)
            except ValueError:
                value = odd[name] = cell
                if name in self._numbers and cells.is_plain_number(cell):
                    value = float(cell)  # infinite: it is beyond all numbers
            if value is not None:
                instance[name] = value
        return instance, odd


def _naming_cell(problem: Problem, odd: Mapping[str, str]) -> Problem:
    """The problem with a cell, which JSON has as a string, named as the cell that it is."""
    if (cell := odd.get(problem.attr)) is None:
        return problem
    return problem._replace(detail=problem.detail.replace("not a string", f"not {cell[:40]!r}"))


def _ndjson_rows(file: IO[bytes], schema: Schema) -> Iterator[Row]:
    # As a body of the API is parsed, whatever parser that is.
    parser: Any = api_settings.DEFAULT_PARSER_CLASSES[0]
    row_of = _RowOfJson(schema, parser().parse)
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
            yield Row({}, [LINE_PROBLEM])
        elif line.strip():
            yield row_of(line.strip())


class _RowOfJson:
    """Reads a line of JSON as an instance and what else it holds."""

    def __init__(self, schema: Schema, parse: Callable[[IO[bytes]], Any]) -> None:
        self._names, self._parse, self._check = frozenset(schema.names), parse, _Check(schema)

    def __call__(self, line: bytes) -> Row:
        try:
            told = self._parse(io.BytesIO(line))
        except InvalidInput as refusal:
            return Row({}, refusal.problems[:MAX_TOLD])
        except APIException as error:
            return Row({}, [Problem("", "parse_error", str(error.detail))])
        except TooMuch as refusal:
            return Row({}, [Problem("", refusal.code, refusal.detail)])
        if not isinstance(told, dict):
            return Row({}, self._check(told))
        if self._names.issuperset(told):
            return Row(told, self._check(told), size=len(line))
        instance = {name: value for name, value in told.items() if name in self._names}
        further = {name: value for name, value in told.items() if name not in self._names}
        problems = self._check(instance) or ([] if instance else [NO_FEATURE])
        return Row(instance, problems, further=further, size=len(line))


@dataclass(slots=True)
class _Check:
    """Checks rows against a schema; once 100 problems were told, it tells one of each row."""

    schema: Schema
    left: int = MAX_PROBLEMS

    def __call__(self, instance: Any) -> list[Problem]:
        most = MAX_TOLD if self.left > 0 else TOLD_IN_SHORT
        found = self.schema.problems(instance, "", left=max(self.left, TOLD_IN_SHORT))
        problems = [one._replace(attr=one.attr.lstrip(".")) for one in islice(found, most)]
        self.left -= len(problems)
        return problems
