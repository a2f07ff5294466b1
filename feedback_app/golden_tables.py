"""Golden rows where training goes on: chosen, kept and read as tables."""

from __future__ import annotations

import hashlib

import pandas as pd

from feedback_app import golden, parquet, training_rows
from feedback_app.training_rows import DIGEST, Row, golden_rows, table_of
from models_app.learning.rows import digest_rows
from models_app.models import RegisteredModel


def tell_apart(model: RegisteredModel, base: list[Row]) -> None:
    """Number the base rows where they repeat few instances, as they did when golden were chosen.

    Raises ValueError when golden rows are yet to be chosen and nothing can be learnt from these.
    """
    known = golden.read(model.golden_digest)
    if not known.fits(model):
        training_rows.tell_apart(model, base)
    elif known.repeated:
        training_rows.number_repeats(base)


def to_choose(model: RegisteredModel, base: list[Row]) -> list[Row]:
    """The golden rows to choose; none when there are some for these columns already."""
    return [] if golden.read(model.golden_digest).fits(model) else golden_rows(base, model.task)


def digests(model: RegisteredModel, chosen: list[Row]) -> frozenset[str]:
    """The golden rows' digests: of those just chosen, or else of those that are kept."""
    if chosen:
        pinned = golden.by_digest(golden.pins_that_fit(model))
        return frozenset(row.digest for row in chosen).union(pinned)
    return frozenset(golden.read(model.golden_digest).answers)


def choose(model: RegisteredModel, rows: list[Row]) -> None:
    """Keep these, and what was pinned and still fits. Raises Unavailable as `golden.keep`."""
    content = digest_rows([row.instance for row in rows], [row.target for row in rows])
    name = hashlib.sha256(f"{model.target}\n{content}".encode()).hexdigest()
    answers = {row.digest: row.target for row in rows}
    chosen = golden.Golden(
        model.target,
        list(model.schema.names),
        answers,
        name,
        read_as=golden.read_as(model),
        repeated=any(row.repeats for row in rows),
    )
    parquet.store_table(golden.table_name(name), table_of(model, rows))
    golden.keep(model, chosen.with_pins(golden.pins_that_fit(model)))


def table(model: RegisteredModel) -> pd.DataFrame:
    """The golden rows; a row that was pinned stands for one that was chosen."""
    known = golden.read(model.golden_digest)
    chosen = parquet.read_table(golden.table_name(known.table))
    if not known.pinned:
        return chosen
    pinned = [Row(*pin, digest, 1.0, []) for digest, pin in golden.by_digest(known.pinned).items()]
    added = table_of(model, pinned)
    return pd.concat([chosen[~chosen[DIGEST].isin(added[DIGEST])], added])
