"""Files of rows to predict, CSV or NDJSON, and of what was answered, in the same format."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any

from rest_framework.exceptions import APIException
from rest_framework.settings import api_settings

from feedback_app.spreadsheets import NUMBER, harmless
from models_app.learning.schema import MAX_PROBLEMS, Problem, Schema
from models_app.learning.spelling import MAX_HINTS, unknown_name
from models_app.refusals import InvalidInput, TooMuch

JsonObject = dict[str, Any]

PIECE = 2**20
# Of each row, and of all rows beyond the first few with problems.
MAX_TOLD, TOLD_IN_SHORT = 5, 1
CELL_PROBLEM = Problem("", "invalid_row", "The row has more or fewer cells than the header.")
# Of one line, as of the body of one request.
LONGEST_LINE = 2**20
LINE_PROBLEM = Problem("", "value_too_long", f"The line has more than {LONGEST_LINE} bytes.")

_BOOLEANS = {"true": True, "false": False}


@dataclass(slots=True)
class Row:
    """One row: an instance that fits the schema, or why it does not."""

    instance: JsonObject
    problems: list[Problem]

    @property
    def error(self) -> str:
        told = [f"{one.attr}: {one.detail}" if one.attr else one.detail for one in self.problems]
        return " ".join(told)


def checked_pieces(stream: IO[bytes], head: bytes) -> Iterator[bytes]:
    """The pieces of a body, `head` first. Raises InvalidInput where it is no text to store."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    piece, filled = head, False
    while piece:
        try:
            decoder.decode(piece)
        except UnicodeDecodeError:
            raise _refusal("", "invalid_utf8", "The body is not UTF-8.") from None
        if b"\0" in piece:
            raise _refusal("", "invalid_text", "The body holds a NUL character.")
        filled = filled or bool(piece.strip())
        yield piece
        piece = stream.read(PIECE)
    if decoder.getstate()[0]:
        raise _refusal("", "invalid_utf8", "The body ends within a character.")
    if not filled:
        raise _refusal("", "empty", "At least one row is expected.")


def refuse_header(head: bytes, schema: Schema) -> None:
    """Raise InvalidInput unless the columns of a CSV that begins so are the schema's."""
    first = io.StringIO(head.decode("utf-8-sig", errors="replace"), newline="")
    names = next((row for row in csv.reader(first) if row), [])
    if problems := list(islice(_problems_of_header(names, schema), MAX_PROBLEMS)):
        raise InvalidInput(problems)


def _problems_of_header(names: Sequence[str], schema: Schema) -> Iterator[Problem]:
    times, known = Counter(names), frozenset(schema.names)
    unknown = (name for name in times if name not in known)
    for number, name in enumerate(unknown):
        detail = unknown_name("feature", name, schema.names, hint=number < MAX_HINTS)
        yield Problem(name[:80], "unknown_feature", detail)
    for one in schema.features:
        if times[one.name] > 1:
            yield Problem(one.name, "duplicate_name", "The column occurs twice.")
        elif one.required and not times[one.name]:
            detail = "The column is missing, and the feature is required."
            yield Problem(one.name, "required", detail)


def rows(file: IO[bytes], form: str, schema: Schema) -> Iterator[Row]:
    """Each row of a file in turn, checked against the schema; empty lines are none."""
    return _ROWS_OF[form](file, schema)


def _csv_rows(file: IO[bytes], schema: Schema) -> Iterator[Row]:
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    lines = csv.reader(_short_lines(text))
    names = next((line for line in lines if line), [])
    kinds = {one.name: one.kind for one in schema.features}
    check = _Check(schema)
    for line in _readable(lines):
        if len(line) != len(names):
            yield Row({}, [CELL_PROBLEM])
            continue
        cells = zip(names, line, strict=True)
        yield check({name: _typed(kinds[name], cell) for name, cell in cells if cell})


def _short_lines(text: io.TextIOWrapper) -> Iterator[str]:
    """The lines of a CSV file; one that is too long becomes one that no reader takes for a row."""
    while line := text.readline(LONGEST_LINE):
        if len(line) < LONGEST_LINE or line.endswith(("\n", "\r")):
            yield line
            continue
        while (rest := text.readline(LONGEST_LINE)) and not rest.endswith(("\n", "\r")):
            pass
        # More cells than a header has, and within a quoted cell more than a cell may have.
        yield "," * (csv.field_size_limit() + 1)


def _readable(lines: Iterator[list[str]]) -> Iterator[list[str]]:
    while True:
        try:
            if line := next(lines):
                yield line
        except csv.Error:  # a cell beyond all measure; the next line is read afresh
            yield []
        except StopIteration:
            return


def _typed(kind: str, cell: str) -> Any:
    """A cell as JSON would have it, since CSV knows text alone; what is wrong stays text."""
    if kind == "number" and NUMBER.fullmatch(cell):
        return float(cell)
    if kind == "boolean":
        return _BOOLEANS.get(cell.lower(), cell)
    return cell


def _ndjson_rows(file: IO[bytes], schema: Schema) -> Iterator[Row]:
    # As a body of the API is parsed, whatever parser that is.
    parser: Any = api_settings.DEFAULT_PARSER_CLASSES[0]
    parse, check = parser().parse, _Check(schema)
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
            yield Row({}, [LINE_PROBLEM])
            continue
        if not line.strip():
            continue
        try:
            yield check(parse(io.BytesIO(line.strip())))
        except InvalidInput as refusal:
            yield Row({}, refusal.problems[:MAX_TOLD])
        except APIException as error:
            yield Row({}, [Problem("", "parse_error", str(error.detail))])
        except TooMuch as refusal:
            yield Row({}, [Problem("", refusal.code, refusal.detail)])


@dataclass(slots=True)
class _Check:
    """Checks rows against a schema; once 100 problems were told, it tells one of each row."""

    schema: Schema
    left: int = MAX_PROBLEMS

    def __call__(self, instance: Any) -> Row:
        most = MAX_TOLD if self.left > 0 else TOLD_IN_SHORT
        found = self.schema.problems(instance, "", left=max(self.left, TOLD_IN_SHORT))
        problems = [one._replace(attr=one.attr.lstrip(".")) for one in islice(found, most)]
        self.left -= len(problems)
        return Row(instance, problems)


def head_of(form: str, classes: Sequence[str]) -> bytes:
    """What a file of answers begins with."""
    if form == "ndjson":
        return b""
    return _lines([["id", "value", *(f"probability_{name}" for name in classes), "error"]])


def part_of(
    form: str, classes: Sequence[str], told: Sequence[Row], predictions: Sequence[JsonObject]
) -> bytes:
    """The lines for some rows, in order; predictions: of those without problems."""
    answered = iter(predictions)
    answers = [None if row.problems else next(answered) for row in told]
    if form == "csv":
        return _lines(
            [
                _cells(answer, classes) if answer else ["", "", *([""] * len(classes)), row.error]
                for row, answer in zip(told, answers, strict=True)
            ]
        )
    lines = (
        answer or {"id": None, "value": None, "error": row.error, "errors": _as_json(row.problems)}
        for row, answer in zip(told, answers, strict=True)
    )
    return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines).encode()


def _as_json(problems: Sequence[Problem]) -> list[JsonObject]:
    return [{**one._asdict(), "attr": one.attr or None} for one in problems]


def _cells(answer: Mapping[str, Any], classes: Sequence[str]) -> list[Any]:
    likely = answer.get("probabilities", {})
    return [answer["id"], answer["value"], *(likely.get(name, "") for name in classes), ""]


def _lines(cells: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([map(harmless, line) for line in cells])
    return text.getvalue().encode()


def _refusal(attr: str, code: str, detail: str) -> InvalidInput:
    return InvalidInput([Problem(attr, code, detail)])


_ROWS_OF: Mapping[str, Callable[[IO[bytes], Schema], Iterator[Row]]] = {
    "csv": _csv_rows,
    "ndjson": _ndjson_rows,
}
