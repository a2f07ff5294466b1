"""Files of what was answered, in the format of the file of rows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from feedback_app.batch_files import JsonObject, Row
from feedback_app.spreadsheets import harmless
from models_app.learning.schema import Problem

# Before a name of the file that would be taken for one of an answer.
PREFIX = "input_"
MEMBERS = frozenset(
    ("id", "value", "probabilities", "warnings", "explanation", "error", "errors")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Results:
    """How the answers to a file are written.

    columns: the names of a CSV file's columns, which are copied. separator: what separates its
    cells.
    """

    form: str
    classes: Sequence[str] = ()
    columns: Sequence[str] = ()
    separator: str = ","

    @property
    def head(self) -> bytes:
        """What a file of answers begins with."""
        if self.form == "ndjson":
            return b""
        likely = [f"probability_{name}" for name in self.classes]
        # The last, so that answers of a release that told no warnings stand below their names.
        names = ["prediction_id", "value", *likely, "error", "warnings"]
        return self._lines([[*beside(self.columns, frozenset(names)), *names]])

    def part(self, told: Sequence[Row], predictions: Sequence[JsonObject]) -> bytes:
        """The lines for some rows, in order; predictions: of those without problems."""
        answered = iter(predictions)
        answers = [None if row.problems else next(answered) for row in told]
        pairs = zip(told, answers, strict=True)
        if self.form == "csv":
            return self._lines([self._cells(row, answer) for row, answer in pairs])
        lines = (_members(row, answer) for row, answer in pairs)
        return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines).encode()

    def _cells(self, row: Row, answer: Mapping[str, Any] | None) -> list[Any]:
        copied = row.cells[: len(self.columns)]
        if answer is None:
            return [*copied, "", "", *([""] * len(self.classes)), row.error, ""]
        likely = answer.get("probabilities", {})
        return [
            *copied,
            answer["id"],
            answer["value"],
            *(likely.get(name, "") for name in self.classes),
            "",
            "; ".join(f"{one['code']}:{one['attr']}" for one in answer.get("warnings", ())),
        ]

    def _lines(self, cells: Iterable[Sequence[Any]]) -> bytes:
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self.separator, lineterminator="\r\n")
        writer.writerows([map(harmless, line) for line in cells])
        return text.getvalue().encode()


def beside(names: Iterable[str], taken: Collection[str]) -> list[str]:
    """The names of a file as they stand beside those of an answer: with `input_` if they meet."""
    found = list(names)
    used = {*taken, *found}
    for place, name in enumerate(found):
        if name in taken:
            other = PREFIX + name
            while other in used:
                other = PREFIX + other
            used.add(other)
            found[place] = other
    return found


def _members(row: Row, answer: JsonObject | None) -> JsonObject:
    told = answer or {
        "id": None, "value": None, "error": row.error, "errors": _as_json(row.problems)
    }  # fmt: skip
    if not row.further:
        return told
    return told | dict(zip(beside(row.further, MEMBERS), row.further.values(), strict=True))


def _as_json(problems: Sequence[Problem]) -> list[JsonObject]:
    return [{**one._asdict(), "attr": one.attr or None} for one in problems]
