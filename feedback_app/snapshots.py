"""Training sets: base data and accepted feedback, frozen and named by their content.

A snapshot holds every row that a run may look at but the golden ones: those that train, and
those held out, on which the gate compares. So the same snapshot gives the same version and
the same verdict, whatever feedback arrives meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from feedback_app import fitting, golden_tables, parquet, screening
from feedback_app.feedback_rows import Contribution, Given, given, weighed
from feedback_app.models import Feedback
from feedback_app.training_rows import (
    DIGEST,
    HELD_OUT,
    INSTANCE,
    ROLE,
    TRAIN,
    Row,
    digest_of,
    digests_in,
    refuse_changed,
    rows_of,
    table_of,
)
from models_app.learning.bounds import bounds_of
from models_app.learning.tables import WEIGHT
from models_app.models import ModelVersion, RegisteredModel, TrainingSnapshot


@dataclass(frozen=True, slots=True, eq=False)
class Frozen:
    """What a snapshot lets a run see. `is_golden` has one entry for each row of `unseen`.

    golden_digest: of the golden rows that are among them. base_rows: how many rows of `train`,
    from its start, are base data; None stands for all. digests: of each row of `unseen`; None
    stands for those of their instances. repeated: rows repeat few instances, so that golden rows
    are like others which train.
    """

    train: pd.DataFrame
    unseen: pd.DataFrame
    is_golden: NDArray[np.bool_]
    golden_digest: str
    base_rows: int | None = None
    digests: Sequence[str] | None = None
    repeated: bool = False

    def parts(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The base rows that train, and all feedback: what trains, and what is held out."""
        count = len(self.train) if self.base_rows is None else self.base_rows
        held_out = self.unseen[~self.is_golden]
        return self.train.iloc[:count], pd.concat([self.train.iloc[count:], held_out])


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """What somebody else needs in order to train as we do.

    rows: features, target and weight; the last `feedback_rows` of them are feedback. digest:
    names the snapshot. never: digests of the instances that must not train, or where `repeated` of
    the rows.
    """

    rows: pd.DataFrame
    feedback_rows: int
    digest: str
    never: list[str]
    repeated: bool = False


def freeze(
    registered_model: RegisteredModel, *, base: pd.DataFrame, up_to: datetime
) -> TrainingSnapshot:
    """Store the rows of the next training and return their snapshot.

    Base data and feedback accepted `up_to` a moment, each source within its share; golden rows
    are left out, and at the first training chosen. Of the feedback that the champion has not
    trained on the newest part is held out. Raises ValueError when the base data cannot be learnt
    from, SchemaChanged when its columns are not the declared ones.
    """
    model = registered_model
    screening.hold_anonymous(model)
    base_rows = _base_rows(model, base)
    # Rows may have been pinned while the data was being read.
    model.refresh_from_db(fields=["golden_digest"])
    chosen = golden_tables.to_choose(model, base_rows)
    if chosen:
        golden_tables.choose(model, chosen)
    rows, judged = _rows(model, base_rows, golden_tables.digests(model, chosen), up_to)
    fitting.set_aside(judged.misfits)
    return _with_bounds(_store(model, rows, judged.contributions), base_rows)


def next_training(
    registered_model: RegisteredModel, *, base: pd.DataFrame, up_to: datetime
) -> Training:
    """What the next snapshot would train on; nothing is stored. Raises as `freeze`."""
    model = registered_model
    base_rows = _base_rows(model, base)
    golden_digests = golden_tables.digests(model, golden_tables.to_choose(model, base_rows))
    rows, _ = _rows(model, base_rows, golden_digests, up_to)
    base_left = sum(not row.feedback for row in rows)
    return _training(model, table_of(model, rows), base_left, digest_of(rows), golden_digests)


def frozen_training(snapshot: TrainingSnapshot) -> Training:
    """What a run that froze this snapshot trains on."""
    model = snapshot.registered_model
    table = parquet.read_table(_table_name(snapshot.digest))
    base_rows = snapshot.rows - snapshot.feedback_rows
    return _training(model, table, base_rows, snapshot.digest, golden_tables.digests(model, []))


def _training(
    model: RegisteredModel,
    table: pd.DataFrame,
    base_rows: int,
    digest: str,
    golden_digests: frozenset[str],
) -> Training:
    train, held_out = table[table[ROLE] == TRAIN], table[table[ROLE] == HELD_OUT]
    return Training(
        rows=train.reindex(columns=[*model.schema.names, model.target, WEIGHT]),
        # Only feedback is ever held out, and what is forgotten of it is gone from the table.
        feedback_rows=max(0, len(train) - base_rows),
        digest=digest,
        never=sorted(golden_digests.union(held_out[DIGEST])),
        repeated=INSTANCE in table,
    )


def _base_rows(model: RegisteredModel, base: pd.DataFrame) -> list[Row]:
    kept = golden_tables.table(model) if model.golden_digest else None
    refuse_changed(model, base, kept)
    rows = rows_of(model, base)
    golden_tables.tell_apart(model, rows)
    return rows


def _rows(
    model: RegisteredModel, base_rows: list[Row], golden: frozenset[str], up_to: datetime
) -> tuple[list[Row], Given]:
    """Base rows, then feedback, oldest first; and what was given of that."""
    base = [row for row in base_rows if not row.is_among(golden)]
    seen = trained_digests(model.champion) if model.champion else None
    classes = {row.target for row in base_rows if isinstance(row.target, str)}
    judged = given(model, up_to=up_to, base=base, classes=classes, golden=golden, seen=seen)
    held_out = {row.digest for row in judged.rows if row.role == HELD_OUT}
    said = {(row.digest, row.target) for row in judged.rows}
    # A row that feedback repeats counts once, and as feedback, whose lineage is kept.
    kept = [
        row for row in base if row.digest not in held_out and (row.digest, row.target) not in said
    ]
    return [*kept, *judged.rows], judged


def keep_learnt_from(
    registered_model: RegisteredModel, digest: str, table: pd.DataFrame
) -> TrainingSnapshot:
    """Keep which rows a training elsewhere learnt from: their roles and digests, nothing more.

    digest: of the file that told it, so that it never stands for rows that were frozen here.
    """
    parquet.store_table(_table_name(digest), table)
    snapshot, _ = TrainingSnapshot.objects.get_or_create(
        registered_model=registered_model,
        digest=digest,
        defaults={"rows": len(table), "feedback_rows": 0},
    )
    return snapshot


def load(
    snapshot: TrainingSnapshot,
    *,
    champion: ModelVersion | None,
    challenger: ModelVersion | None = None,
) -> Frozen:
    """The rows of a snapshot; `unseen` holds none of those that train, here or for a version."""
    model = snapshot.registered_model
    columns = [*model.schema.names, model.target]
    table = parquet.read_table(_table_name(snapshot.digest))
    train, held_out = table[table[ROLE] == TRAIN], table[table[ROLE] == HELD_OUT]
    fixed = golden_tables.table(model)
    unseen = pd.concat([fixed.assign(golden=True), held_out.assign(golden=False)])
    # A row that was pinned since it was frozen still trains here.
    unseen = unseen[~unseen[DIGEST].isin(digests_in(train))]
    for version in (champion, challenger):
        if version is not None:
            unseen = unseen[~unseen[DIGEST].isin(trained_digests(version))]
    golden_rows = int(unseen["golden"].sum())
    # The newest ones come last. Snapshots of an earlier release may hold more of them.
    newest = unseen[~unseen["golden"]].tail(golden_rows)
    unseen = pd.concat([unseen[unseen["golden"]], newest])
    return Frozen(
        train=train.reindex(columns=[*columns, WEIGHT]),
        unseen=unseen.reindex(columns=columns).reset_index(drop=True),
        is_golden=unseen["golden"].to_numpy(dtype=np.bool_),
        golden_digest=model.golden_digest,
        base_rows=snapshot.rows - snapshot.feedback_rows,
        digests=unseen[DIGEST].tolist(),
        repeated=INSTANCE in table,
    )


def trained_digests(version: ModelVersion) -> frozenset[str]:
    """Digests of the rows that a version trained on; none when nobody knows."""
    if version.snapshot is None:
        return frozenset()
    table = parquet.read_table(_table_name(version.snapshot.digest))
    return digests_in(table[table[ROLE] == TRAIN])


def redact(snapshot: TrainingSnapshot, rows: Collection[tuple[str, Any]]) -> int:
    """Remove rows, by digest and target, from what is stored; how many there were.

    The digest goes on naming what the snapshot was, which nobody can train again from it.
    """
    if not rows:
        return 0
    table = parquet.read_table(_table_name(snapshot.digest))
    target = snapshot.registered_model.target
    pairs = zip(table[DIGEST], table[target], strict=True)
    gone = np.array([pair in rows for pair in pairs], dtype=np.bool_)
    if gone.any():
        parquet.replace_table(_table_name(snapshot.digest), table[~gone])
    return int(gone.sum())


def _with_bounds(snapshot: TrainingSnapshot, base_rows: Sequence[Row]) -> TrainingSnapshot:
    """The snapshot with the bounds of feedback, which its base data alone sets."""
    model = snapshot.registered_model
    numbers = [row.target for row in base_rows if isinstance(row.target, int | float)]
    snapshot.bounds = bounds_of(model.schema, [row.instance for row in base_rows], numbers)
    snapshot.save(update_fields=["bounds"])
    return snapshot


def _store(
    model: RegisteredModel, rows: list[Row], contributions: list[Contribution]
) -> TrainingSnapshot:
    if not any(row.role == TRAIN for row in rows):
        raise ValueError(
            "no row is left to train on once golden rows are kept apart. Give further rows."
        )
    digest = digest_of(rows)
    parquet.store_table(_table_name(digest), table_of(model, rows))
    snapshot, _ = TrainingSnapshot.objects.get_or_create(
        registered_model=model,
        digest=digest,
        defaults={
            "rows": len(rows),
            "feedback_rows": sum(bool(row.feedback) for row in rows),
            "sources": weighed(contributions, rows),
        },
    )
    lineage = Feedback.snapshots.through
    lineage.objects.bulk_create(
        (
            lineage(feedback_id=word, trainingsnapshot_id=snapshot.pk)
            for row in rows
            for word in row.feedback
        ),
        ignore_conflicts=True,
        batch_size=1000,
    )
    return snapshot


def _table_name(digest: str) -> str:
    return f"snapshots/{digest}.parquet"
