"""Files of rows to pin: CSV with the features and the right answer, whole or not at all.

They are read as the data is that the model learns from, which may itself be such a file.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import IO

from feedback_app import batch_files, intake
from feedback_app.batch_bodies import UTF_8, checked_pieces
from feedback_app.batch_files import Row
from feedback_app.golden import Pin
from models_app.learning.labels import Spellings
from models_app.learning.reading import Reading
from models_app.learning.rows import digest_instance
from models_app.learning.schema import MAX_PROBLEMS, Feature, Problem, Schema
from models_app.learning.spelling import unknown_name
from models_app.models import RegisteredModel
from models_app.refusals import InvalidInput, TooMuch

MAX_BYTES = 2**20
MAX_ROWS = 1000


def read(file: IO[bytes], model: RegisteredModel) -> list[Pin]:
    """The rows of a file, as `golden.pin` takes them; columns that are no features are left out.

    Raises InvalidInput with each problem at `rows.1.column`, the first row below the header being
    1, and TooMuch beyond 1,000 rows or 1 MiB.
    """
    rows = _rows(file, model)
    if len(rows) > MAX_ROWS:
        raise TooMuch(f"The file has {len(rows)} rows, {MAX_ROWS} are allowed.")
    if not rows:
        raise InvalidInput([Problem("rows", "empty", "At least one row is expected.")])
    pins = _pins(rows, model)
    if problems := list(islice(_problems(rows, pins, model), MAX_PROBLEMS)):
        raise InvalidInput(problems)
    return [pin for pin in pins if pin]


def _rows(file: IO[bytes], model: RegisteredModel) -> list[Row]:
    head, how = file.read(MAX_BYTES + 1), model.reading
    if len(head) > MAX_BYTES:
        raise TooMuch(f"The file is longer than {MAX_BYTES} bytes.")
    pieces = checked_pieces(file, head, encoding=how.get("encoding") or UTF_8, name="The file")
    content = b"".join(pieces)
    schema = Schema((*model.schema.features, _answer_of(model)))
    header = batch_files.header_of(content, schema, separator=how.get("separator") or ",")
    told = batch_files.rows(io.BytesIO(content), "csv", schema, separator=header.separator)
    return list(told)


def _answer_of(model: RegisteredModel) -> Feature:
    """The target as a column of the file: a class is the text of its cell, as in training."""
    regression = model.task == RegisteredModel.Task.REGRESSION
    stored = model.reading.get("target", {}).get("reading", {})
    return Feature(
        model.target,
        "number" if regression else "category",
        required=True,
        reading=Reading.from_json(stored),
    )


def _pins(rows: Sequence[Row], model: RegisteredModel) -> list[Pin | None]:
    """The rows with categories and classes as the training data has them; None for wrong ones."""
    schema = intake.schema_of(model)
    spellings = Spellings(model.champion.classes if model.champion else ())
    pins: list[Pin | None] = []
    for row in rows:
        if row.problems:
            pins.append(None)
            continue
        answer = row.instance.pop(model.target)
        (instance,) = schema.normalized([row.instance])
        pins.append((instance, spellings.of(answer) if isinstance(answer, str) else answer))
    return pins


def _problems(
    rows: Sequence[Row], pins: Sequence[Pin | None], model: RegisteredModel
) -> Iterator[Problem]:
    classes = model.champion.classes if model.champion else []
    said: dict[str, object] = {}
    for number, (row, pin) in enumerate(zip(rows, pins, strict=True), start=1):
        for problem in row.problems:
            yield problem._replace(attr=f"rows.{number}.{problem.attr}".rstrip("."))
        if pin is None:
            continue
        instance, answer = pin
        if classes and answer not in classes:
            detail = unknown_name("class", str(answer), classes)
            yield Problem(f"rows.{number}.{model.target}", "unknown_class", detail)
        if said.setdefault(digest_instance(instance), answer) != answer:
            detail = "An earlier row has another answer to the same features."
            yield Problem(f"rows.{number}.{model.target}", "contradiction", detail)
