"""Understand a table of base data: its columns, how they are read, and what is odd about them.

`understand` is what `apply` asks when a model is declared; `read_rows` reads later rows of the same
source by what was understood then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from models_app.learning import cells, columns, oddities
from models_app.learning.conventions import (
    Convention,
    Hints,
    Question,
    convention_of,
    decimal_of,
    reading_of,
)
from models_app.learning.kinds import KINDS, Kind
from models_app.learning.reading import Reading
from models_app.learning.schema import Schema
from models_app.learning.spelling import unknown_name
from models_app.learning.tables import Task, infer_kind, infer_schema, infer_task, kind_of_words

MOST_EXAMPLES, LONGEST_EXAMPLE = 3, 40
MOST_QUESTIONS = 20


@dataclass(frozen=True, slots=True)
class Declared:
    """What a declaration says of a table.

    features: feature name to `kind`, `required`, `label`, `format`, `missing`, `decimal` and
    `thousands`, those that were given. ignore: columns that are no features. decimal, thousands,
    missing: of the whole file.
    """

    task: Task | None = None
    features: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ignore: Sequence[str] = ()
    separator: str = ","
    decimal: str = ""
    thousands: str = ""
    missing: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """What was understood of one column. left_out: why it is no feature; "" when it is one."""

    name: str
    kind: str
    missing: int
    examples: tuple[str, ...]
    assumptions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    left_out: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Understanding:
    """All that was understood of a table.

    rows: the usable ones, read. unusable: how many have no target. target: how it is read.
    """

    task: Task
    target: Convention
    schema: Schema
    columns: tuple[Column, ...]
    rows: pd.DataFrame
    unusable: int


class Questions(ValueError):
    """What a person has to say before the table can be read; a line each."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


def understand(frame: pd.DataFrame, target: str, declared: Declared) -> Understanding:
    """Tell what a table holds whose cells are texts, as `table_files` reads them.

    Raises Questions where a person has to say how cells are meant, ValueError where the target or
    a declared column does not exist, no row has a target, no feature is left, or cells do not fit
    the declared kind.
    """
    _refuse_unknown(frame, target, declared)
    asked = _Asked(declared, target)
    answered = ~columns.missing_cells(frame[target], "category", Reading())
    asked.settle_decimal(frame[answered])
    answer = asked.convention(target, frame[target], frame)
    task = declared.task or _task_of(frame[target], answer)
    answer = _target_convention(frame[target], answer, task)
    usable = frame[~columns.missing_cells(frame[target], answer.kind, answer.reading)]
    if usable.empty:
        raise ValueError(f"column '{target}' has no value in any row")
    left_out = dict(_left_out(usable, target, declared))
    names = [str(name) for name in usable.columns if name != target and name not in left_out]
    found = {name: asked.convention(name, usable[name], frame) for name in names}
    asked.refuse_open()
    rows = _typed(usable, {**found, target: answer})
    ignored = [*left_out, *("" for name in left_out if is_nameless(name))]
    schema = _schema(rows[[*names, target]], target, declared, found, tuple(ignored))
    told = oddities.warnings_of(rows[[*schema.names, target]], schema, target=target, task=task)
    described = _described(usable, target, {**found, target: answer}, told, left_out)
    return Understanding(task, answer, schema, described, rows, len(frame) - len(usable))


def read_rows(
    frame: pd.DataFrame, schema: Schema, target: str, target_convention: Convention
) -> pd.DataFrame:
    """Later rows of the same source, read by the schema's readings; without those of no target.

    A column with a cell that cannot be read stays text, for `changes.schema_changes` to name.
    """
    found = {one.name: Convention(one.kind, one.reading) for one in schema.features}
    if target in frame:
        convention = target_convention
        found[target] = convention
        missing = columns.missing_cells(frame[target], convention.kind, convention.reading)
        frame = frame[~missing]
    read = frame.copy()
    for name, convention in found.items():
        if name in frame:
            try:
                read[name] = columns.typed(frame[name], convention.kind, convention.reading)
            except ValueError:
                continue
    for name in read.columns.difference(list(found)):
        if columns.holds_texts(read[name]):
            read[name] = read[name].mask(read[name].str.strip() == "")
    return read


class _Asked:
    """Finds the conventions of columns, and keeps the questions until all were looked at."""

    def __init__(self, declared: Declared, target: str) -> None:
        self.declared, self.target = declared, target
        self.likely_decimal = ""
        self.open: list[str] = []

    def settle_decimal(self, frame: pd.DataFrame) -> None:
        texts = [frame[name] for name in frame.columns if columns.holds_texts(frame[name])]
        given = Reading(missing=tuple(self.declared.missing))
        counted = (columns.count_cells(one, apart=given.missing) for one in texts)
        self.likely_decimal = decimal_of(counted, given)

    def convention(self, name: str, series: pd.Series[Any], frame: pd.DataFrame) -> Convention:
        given = self.declared.features.get(name, {})
        kind = given.get("kind")
        if kind is not None and kind not in KINDS:
            raise ValueError(f"feature '{name}': {unknown_name('kind', str(kind), KINDS)}")
        if not columns.holds_texts(series):
            return Convention(kind or infer_kind(series), Reading(format=given.get("format", "")))
        reading, hints = self._reading(given), self._hints(given)
        counts = columns.count_cells(series, apart=reading.missing)
        try:
            if kind:
                return reading_of(counts, kind, reading, hints)
            return convention_of(counts, reading, hints) or _words(series, reading)
        except Question as question:
            if name != self.target:
                self.open.append(_told(name, series, question, question.ways, frame))
            elif self.declared.task != "classification":  # where each text is a class as it is
                self.open.append(_told(name, series, question, _ways_of_target(question), frame))
            return _words(series, reading)

    def refuse_open(self) -> None:
        if self.open:
            raise Questions(self.open[:MOST_QUESTIONS])

    def _reading(self, given: Mapping[str, Any]) -> Reading:
        missing = (*self.declared.missing, *given.get("missing", ()))
        return Reading(format=given.get("format", ""), missing=missing)

    def _hints(self, given: Mapping[str, Any]) -> Hints:
        return Hints(
            decimal=given.get("decimal", self.declared.decimal),
            thousands=given.get("thousands", self.declared.thousands),
            separator=self.declared.separator,
            likely_decimal=self.likely_decimal,
        )


def _refuse_unknown(frame: pd.DataFrame, target: str, declared: Declared) -> None:
    names = [str(name) for name in frame.columns]
    if target not in names:
        told = unknown_name("column", target, names)
        raise ValueError(f"target: {told[:1].lower()}{told[1:]}")
    others = [one for one in names if one != target]
    for key, what, given in (
        ("features", "feature", declared.features),
        ("ignore", "column", declared.ignore),
    ):
        if target in given:
            raise ValueError(f"{key}: '{target}' is the target; take it away")
        for name in given:
            if name not in names:
                told = unknown_name(what, name, others)
                raise ValueError(f"{key}: {told[:1].lower()}{told[1:]}")
    both = next((name for name in declared.features if name in declared.ignore), None)
    if both is not None:
        raise ValueError(f"feature '{both}' is declared and also named in ignore; take one away")


def _task_of(series: pd.Series[Any], answer: Convention) -> Task:
    if answer.kind != "number":
        return "classification"
    return infer_task(columns.typed(series, "number", answer.reading))


def _target_convention(series: pd.Series[Any], answer: Convention, task: Task) -> Convention:
    """A class is the text of the file; a word for what is missing is none among numbers."""
    if task == "regression":
        return replace(answer, kind="number")
    if not columns.holds_texts(series):
        return answer
    reading = answer.reading
    if answer.kind == "number":
        seen = {one.strip() for one in columns.count_cells(series, apart=reading.missing)}
        words = {one for one in seen if one and not _is_value(one, reading)}
        # In an order of their own, so that other rows of the same words are no other reading.
        reading = replace(reading, missing=tuple(sorted({*reading.missing, *words})))
    return Convention("category", Reading(missing=reading.missing))


def _is_value(cell: str, reading: Reading) -> bool:
    return not cells.is_missing(cell, "number", reading)


def _left_out(frame: pd.DataFrame, target: str, declared: Declared) -> Iterator[tuple[str, str]]:
    for name in map(str, frame.columns):
        if name == target or name in declared.features:
            continue
        if name in declared.ignore:
            yield name, "named in ignore"
        elif columns.missing_cells(frame[name], "category", Reading()).all():
            yield name, "empty"
        elif is_nameless(name) and oddities.counts_rows(frame[name]):
            yield name, "has no name and counts the rows"
        elif is_nameless(name):
            place = list(frame.columns).index(name) + 1
            raise ValueError(
                f"column {place} has values and no name; name it in the first line, or remove it"
            )


def is_nameless(name: str) -> bool:
    """Whether a column had no name in its file; pandas makes one up, and saves that too."""
    return not name.strip() or name.startswith("Unnamed: ")


def _words(series: pd.Series[Any], reading: Reading) -> Convention:
    known = series[~columns.missing_cells(series, "category", reading)]
    return Convention(kind_of_words(known), reading)


def _typed(frame: pd.DataFrame, found: Mapping[str, Convention]) -> pd.DataFrame:
    read = frame.copy()
    for name, convention in found.items():
        try:
            read[name] = columns.typed(frame[name], convention.kind, convention.reading)
        except ValueError:
            raise ValueError(_misfit(frame, name, convention)) from None
    return read


def _misfit(frame: pd.DataFrame, name: str, convention: Convention) -> str:
    found = columns.misfit(frame[name], convention.kind, convention.reading)
    place, cell, odd = found or ("?", "", 0)
    return (
        f"column '{name}', {_unit(frame)} {place}: {cell[:80]!r} is no {convention.kind} ({odd} of "
        f"{len(frame)} cells are none). {_WAYS_OUT[convention.kind].format(cell=cell[:40])}"
    )


_OR_MISSING = 'Declare missing = ["{cell}"] if it stands for a missing value, or another kind.'
_WAYS_OUT: dict[Kind, str] = {
    "number": _OR_MISSING,
    "datetime": f"{_OR_MISSING} Dates in a format of their own need format.",
    "boolean": 'Write true or false, yes or no, 1 or 0, or declare kind = "category".',
    "category": _OR_MISSING,
    "text": _OR_MISSING,
}


def _schema(
    rows: pd.DataFrame,
    target: str,
    declared: Declared,
    found: Mapping[str, Convention],
    ignored: tuple[str, ...],
) -> Schema:
    kinds = {
        name: {**declared.features.get(name, {}), "kind": convention.kind}
        for name, convention in found.items()
    }
    schema = infer_schema(rows, target=target, declared=kinds)
    features = tuple(
        replace(
            one,
            reading=found[one.name].reading,
            label=declared.features.get(one.name, {}).get("label", ""),
        )
        for one in schema.features
    )
    return Schema(features, ignored)


def _assumptions(series: pd.Series[Any], convention: Convention | None) -> Iterator[str]:
    if convention is None:
        return
    yield from convention.assumptions
    if not columns.holds_texts(series):
        return
    counts = columns.count_cells(series, apart=convention.reading.missing)
    words = {
        cell: count
        for cell, count in counts.items()
        if cell.strip() and cells.is_missing(cell, convention.kind, convention.reading)
    }
    if words:
        told = ", ".join(repr(cell[:LONGEST_EXAMPLE]) for cell in list(words)[:MOST_EXAMPLES])
        times = sum(words.values())
        yield f"{told} ({times} cell{'s' * (times > 1)}) read as missing"


def _described(
    frame: pd.DataFrame,
    target: str,
    found: Mapping[str, Convention],
    warnings: Mapping[str, Sequence[str]],
    left_out: Mapping[str, str],
) -> tuple[Column, ...]:
    return tuple(
        Column(
            name=str(name),
            kind="target" if name == target else found[name].kind if name in found else "",
            missing=_missing(frame[name], found.get(str(name))),
            examples=_examples(frame[name]),
            assumptions=tuple(_assumptions(frame[name], found.get(str(name)))),
            warnings=tuple(warnings.get(str(name), ())),
            left_out=left_out.get(str(name), ""),
        )
        for name in frame.columns
    )


def _missing(series: pd.Series[Any], convention: Convention | None) -> int:
    kind: Kind = convention.kind if convention else "category"
    reading = convention.reading if convention else Reading()
    return int(columns.missing_cells(series, kind, reading).sum())


def _examples(series: pd.Series[Any]) -> tuple[str, ...]:
    some = series.dropna().head(1000).drop_duplicates()
    some = some[some.astype(str).str.strip() != ""].head(MOST_EXAMPLES)
    return tuple(" ".join(str(value).split())[:LONGEST_EXAMPLE] for value in some)


def _told(
    name: str,
    series: pd.Series[Any],
    question: Question,
    ways: Sequence[str],
    frame: pd.DataFrame,
) -> str:
    at = f"{_unit(frame)} {series.index[series == question.cell][0]}"
    told = "; ".join(ways)
    return f"column '{name}', {at}: {question.finding}. Declare or do one of these: {told}."


def _ways_of_target(question: Question) -> list[str]:
    """The target is no feature: how it is read is said of the whole file, or it names classes."""
    kept = [way for way in question.ways if not way.startswith(("kind", "format"))]
    return ['task = "classification", if they name classes', *kept]


def _unit(frame: pd.DataFrame) -> str:
    """What the index counts: lines of a CSV file, else rows."""
    return "row" if frame.index.name is None else str(frame.index.name)
