"""Files of rows to pin: CSV with the features and the right answer, whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO

from feedback_app import batch_files
from feedback_app.golden import Pin
from models_app.learning.rows import digest_instance
from models_app.learning.schema import MAX_PROBLEMS, Feature, Problem, Schema
from models_app.learning.spelling import unknown_name
from models_app.models import RegisteredModel
from models_app.refusals import InvalidInput, TooMuch

MAX_BYTES = 2**20
MAX_ROWS = 1000


def read(file: IO[bytes], model: RegisteredModel) -> list[Pin]:
    """The rows of a file, as `golden.pin` takes them.

    Raises InvalidInput with each problem at `rows.1.column`, the first row below the header being
    1, and TooMuch beyond 1,000 rows or 1 MiB.
    """
    content = b"".join(batch_files.checked_pieces(file, file.read(MAX_BYTES + 1)))
    if len(content) > MAX_BYTES:
        raise TooMuch(f"The file is longer than {MAX_BYTES} bytes.")
    schema = Schema((*model.schema.features, _answer_of(model)))
    batch_files.refuse_header(content, schema)
    rows = list(batch_files.rows(io.BytesIO(content), "csv", schema))
    if len(rows) > MAX_ROWS:
        raise TooMuch(f"The file has {len(rows)} rows, {MAX_ROWS} are allowed.")
    if not rows:
        raise InvalidInput([Problem("rows", "empty", "At least one row is expected.")])
    if problems := list(_problems(rows, model)):
        raise InvalidInput(problems[:MAX_PROBLEMS])
    return [(row.instance, row.instance.pop(model.target)) for row in rows]


def _answer_of(model: RegisteredModel) -> Feature:
    regression = model.task == RegisteredModel.Task.REGRESSION
    return Feature(model.target, "number" if regression else "category", required=True)


def _problems(rows: list[batch_files.Row], model: RegisteredModel) -> Iterator[Problem]:
    classes = model.champion.classes if model.champion else []
    said: dict[str, object] = {}
    for number, row in enumerate(rows, start=1):
        for problem in row.problems:
            yield problem._replace(attr=f"rows.{number}.{problem.attr}".rstrip("."))
        answer = row.instance.get(model.target)
        if classes and not row.problems and answer not in classes:
            detail = unknown_name("class", str(answer), classes)
            yield Problem(f"rows.{number}.{model.target}", "unknown_class", detail)
        instance = {name: row.instance[name] for name in row.instance if name != model.target}
        if said.setdefault(digest_instance(instance), answer) != answer:
            detail = "An earlier row has another answer to the same features."
            yield Problem(f"rows.{number}.{model.target}", "contradiction", detail)
