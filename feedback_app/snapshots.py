"""Training sets: base data and accepted feedback, frozen and named by their content.

A snapshot holds every row that a run may look at but the golden ones: those that train, and
those held out, on which the gate compares. So the same snapshot gives the same version and
the same verdict, whatever feedback arrives meanwhile.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from feedback_app import golden, parquet
from feedback_app.fairness import newest_within_share
from feedback_app.models import Feedback
from feedback_app.spreadsheets import harmless
from models_app import atomic_storage
from models_app.learning.kinds import category_text
from models_app.learning.rows import digest_instance, digest_rows, golden_split, holdout_newest
from models_app.learning.schema import Feature, Schema
from models_app.learning.tables import Task, instances_of, targets_of, usable_rows
from models_app.models import ModelVersion, RegisteredModel, TrainingSnapshot
from models_app.training import WEIGHT

ROLE = "everlearn_role"
DIGEST = "everlearn_digest"
TRAIN, HELD_OUT = "train", "held_out"
HELD_OUT_SHARE = 0.3
MAX_SHARE_PER_SOURCE = 0.2


@dataclass(slots=True)
class Row:
    """One instance with its right answer; `feedback`: the ids of those who said so."""

    instance: dict[str, Any]
    target: Any
    digest: str
    weight: float
    feedback: list[Any]
    role: str = TRAIN


@dataclass(frozen=True, slots=True, eq=False)
class Frozen:
    """What a snapshot lets a run see. `is_golden` has one entry for each row of `unseen`."""

    train: pd.DataFrame
    unseen: pd.DataFrame
    is_golden: NDArray[np.bool_]


def freeze(
    registered_model: RegisteredModel, *, base: pd.DataFrame, up_to: datetime
) -> TrainingSnapshot:
    """Store the rows of the next training and return their snapshot.

    Base data and feedback accepted `up_to` a moment; golden rows are left out, and at the
    first training chosen. Of the feedback that the champion has not trained on the newest
    part is held out. Raises ValueError when the base data cannot be learnt from.
    """
    model = registered_model
    base_rows = _base_rows(model, base)
    chosen = _golden_rows(model, base_rows)
    if chosen:
        _keep_golden(model, chosen)
    return _store(model, _rows(model, base_rows, _digests_of(model, chosen), up_to))


def next_training(
    registered_model: RegisteredModel, *, base: pd.DataFrame, up_to: datetime
) -> pd.DataFrame:
    """What the next snapshot would train on, with its weights; nothing is stored.

    Raises ValueError when the base data cannot be learnt from.
    """
    model = registered_model
    base_rows = _base_rows(model, base)
    never = _digests_of(model, _golden_rows(model, base_rows))
    rows = [row for row in _rows(model, base_rows, never, up_to) if row.role == TRAIN]
    return _table(model, rows)[[*model.schema.names, model.target, WEIGHT]]


def as_csv(frame: pd.DataFrame) -> bytes:
    """The table as CSV, its texts marked where a spreadsheet would take them for formulas."""
    texts = frame.select_dtypes(include=["object", "str"]).columns
    marked = {name: frame[name].map(harmless, na_action="ignore") for name in texts}
    return frame.assign(**marked).rename(columns=harmless).to_csv(index=False).encode()


def _rows(
    model: RegisteredModel, base_rows: list[Row], never: frozenset[str], up_to: datetime
) -> list[Row]:
    judged = [row for row in _feedback_rows(model, up_to) if row.digest not in never]
    held_out = _held_out_digests(model, judged)
    for row in judged:
        row.role = HELD_OUT if row.digest in held_out else TRAIN
    said = {(row.digest, row.target) for row in judged}
    never = never | held_out
    # A row that feedback repeats counts once, and as feedback, whose lineage is kept.
    kept = [
        row for row in base_rows if row.digest not in never and (row.digest, row.target) not in said
    ]
    return [*kept, *judged]


def load(snapshot: TrainingSnapshot, *, champion: ModelVersion | None) -> Frozen:
    """The rows of a snapshot; `unseen` holds none that `champion` trained on."""
    model = snapshot.registered_model
    columns = [*model.schema.names, model.target]
    table = parquet.read_table(_table_name(snapshot.digest))
    held_out = table[table[ROLE] == HELD_OUT]
    fixed = parquet.read_table(golden.table_name(model.golden_digest))
    unseen = pd.concat([fixed.assign(golden=True), held_out.assign(golden=False)])
    if champion is not None:
        unseen = unseen[~unseen[DIGEST].isin(trained_digests(champion))]
    return Frozen(
        train=table[table[ROLE] == TRAIN].reindex(columns=[*columns, WEIGHT]),
        unseen=unseen.reindex(columns=columns).reset_index(drop=True),
        is_golden=unseen["golden"].to_numpy(dtype=np.bool_),
    )


def trained_digests(version: ModelVersion) -> frozenset[str]:
    """Digests of the instances that a version trained on; none when it came from elsewhere."""
    if version.snapshot is None:
        return frozenset()
    table = parquet.read_table(_table_name(version.snapshot.digest))
    return frozenset(table.loc[table[ROLE] == TRAIN, DIGEST])


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


def _base_rows(model: RegisteredModel, base: pd.DataFrame) -> list[Row]:
    frame = usable_rows(base, model.target)
    instances = instances_of(frame, model.schema)
    _refuse_without_required(model.schema, instances)
    targets = targets_of(frame[model.target], cast("Task", model.task)).tolist()
    return [
        Row(instance, target, digest_instance(instance), 1.0, [])
        for instance, target in zip(instances, targets, strict=True)
    ]


def _refuse_without_required(schema: Schema, instances: Sequence[dict[str, Any]]) -> None:
    for name in (feature.name for feature in schema.features if feature.required):
        if missing := sum(name not in instance for instance in instances):
            raise ValueError(
                f"column '{name}' is required, but {missing} of {len(instances)} rows have no "
                "value there"
            )


def _feedback_rows(model: RegisteredModel, up_to: datetime) -> list[Row]:
    """Accepted feedback that fits the schema, oldest first, exact duplicates as one row."""
    schema = model.schema
    accepted = Feedback.objects.filter(
        registered_model=model, status=Feedback.Status.ACCEPTED, accepted_at__lte=up_to
    ).order_by("at", "pk")
    fitting = [
        word
        for word in accepted.only("pk", "source", "features", "value")
        if next(schema.problems(word.features, "features"), None) is None
    ]
    share = model.feedback.get("max_share_per_source", MAX_SHARE_PER_SOURCE)
    weight = model.feedback.get("weight", 1.0)
    rows: dict[tuple[str, Any], Row] = {}
    for word in newest_within_share(fitting, source=lambda word: word.source, share=share):
        digest = digest_instance(word.features)
        earlier = rows.pop((digest, word.value), None)
        ids = [*(earlier.feedback if earlier else ()), word.pk]
        rows[digest, word.value] = Row(word.features, word.value, digest, weight, ids)
    return list(rows.values())


def _golden_rows(model: RegisteredModel, base: list[Row]) -> list[Row]:
    """The golden rows to choose; none when there are some for these columns already."""
    known, features = golden.read(model.golden_digest), list(model.schema.names)
    if (known.target, known.features) == (model.target, features):
        return []
    targets = np.array([row.target for row in base])
    mask = golden_split([row.digest for row in base], targets, model.task)
    return [row for row, is_golden in zip(base, mask, strict=True) if is_golden]


def _digests_of(model: RegisteredModel, chosen: list[Row]) -> frozenset[str]:
    """The golden rows' digests: of those just chosen, or else of those that are kept."""
    if chosen:
        return frozenset(row.digest for row in chosen)
    return frozenset(golden.read(model.golden_digest).answers)


def _keep_golden(model: RegisteredModel, rows: list[Row]) -> None:
    content = digest_rows([row.instance for row in rows], [row.target for row in rows])
    digest = hashlib.sha256(f"{model.target}\n{content}".encode()).hexdigest()
    answers = {row.digest: row.target for row in rows}
    chosen = golden.Golden(model.target, list(model.schema.names), answers)
    parquet.store_table(golden.table_name(digest), _table(model, rows))
    atomic_storage.store(golden.index_name(digest), golden.index_of(chosen))
    model.golden_digest = digest
    model.save(update_fields=["golden_digest"])


def _held_out_digests(model: RegisteredModel, judged: Sequence[Row]) -> frozenset[str]:
    """The newest of what the champion has not seen; without a champion all may train."""
    if model.champion is None:
        return frozenset()
    seen = trained_digests(model.champion)
    fresh = [row.digest for row in judged if row.digest not in seen]
    newest = holdout_newest(len(fresh), HELD_OUT_SHARE)
    return frozenset(digest for digest, is_held in zip(fresh, newest, strict=True) if is_held)


def _store(model: RegisteredModel, rows: list[Row]) -> TrainingSnapshot:
    if not any(row.role == TRAIN for row in rows):
        raise ValueError("no row is left to train on once golden rows are kept apart")
    digest = _digest(rows)
    parquet.store_table(_table_name(digest), _table(model, rows))
    snapshot, _ = TrainingSnapshot.objects.get_or_create(
        registered_model=model,
        digest=digest,
        defaults={"rows": len(rows), "feedback_rows": sum(bool(row.feedback) for row in rows)},
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


def _digest(rows: Iterable[Row]) -> str:
    """SHA-256 over the canonical rows: role, weight, instance and target of each, in order."""
    digest = hashlib.sha256()
    for row in rows:
        line = json.dumps([row.role, row.weight, row.digest, row.target])
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()


def _table(model: RegisteredModel, rows: Sequence[Row]) -> pd.DataFrame:
    columns = _feature_columns(model.schema, [row.instance for row in rows])
    columns[model.target] = pd.Series([row.target for row in rows])
    columns[WEIGHT] = pd.Series([row.weight for row in rows], dtype=np.float64)
    columns[ROLE] = pd.Series([row.role for row in rows], dtype="str")
    columns[DIGEST] = pd.Series([row.digest for row in rows], dtype="str")
    return pd.DataFrame(columns)


def _feature_columns(
    schema: Schema, instances: Sequence[dict[str, Any]]
) -> dict[str, pd.Series[Any]]:
    return {
        feature.name: _column(feature, [instance.get(feature.name) for instance in instances])
        for feature in schema.features
    }


def _column(feature: Feature, values: list[Any]) -> pd.Series[Any]:
    """One dtype a column, since JSON lets a category be 1 in one row and "1" in the next."""
    if feature.kind == "number":
        return pd.Series(values, dtype=np.float64)
    if feature.kind == "boolean":
        return pd.Series(values, dtype=object)
    texts = [None if value is None else category_text(value) for value in values]
    return pd.Series(texts, dtype="str")


def _table_name(digest: str) -> str:
    return f"snapshots/{digest}.parquet"
