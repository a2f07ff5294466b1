"""How a table differs from the one that a model was declared from, column by column."""

from __future__ import annotations

from typing import Any

import pandas as pd

from models_app.learning import columns
from models_app.learning.schema import Feature, Schema
from models_app.learning.tables import Task, encode, infer_kind, targets_of


def schema_changes(
    frame: pd.DataFrame,
    schema: Schema,
    *,
    target: str,
    task: Task,
    before: pd.DataFrame | None = None,
) -> list[str]:
    """One phrase a column that is missing, of another kind or new; none when nothing changed.

    The order of the columns is no matter, nor is a new one without any value. before: earlier
    rows, which alone tell whether a column of words holds numbers now.
    """
    changes = [_feature_change(frame, feature, before) for feature in schema.features]
    changes.append(_target_change(frame, target, task, before))
    known = {*schema.names, *schema.ignored, target}
    new = [
        f"column {_shown(name)} is new"
        for name in frame.columns
        if name not in known and frame[name].notna().any()
    ]
    return [change for change in changes if change] + new


def _feature_change(frame: pd.DataFrame, feature: Feature, before: pd.DataFrame | None) -> str:
    name, kind = feature.name, feature.kind
    if name not in frame:
        return f"column {_shown(name)} is missing"
    if kind in ("category", "text"):
        if _became_numbers(frame, name, before):
            return f"column {_shown(name)} was {kind} and holds numbers"
        return ""
    try:
        encode(frame[[name]], Schema((feature,)))
    except ValueError:
        return f"column {_shown(name)} was {kind} and {_holds(frame[name], feature)}"
    return ""


def _holds(series: pd.Series[Any], feature: Feature) -> str:
    told = f"holds {infer_kind(series)}"
    found = None
    if columns.holds_texts(series):
        found = columns.misfit(series, feature.kind, feature.reading)
    if found is None:
        return told
    place, cell, odd = found
    unit = "row" if series.index.name is None else str(series.index.name)
    return f"{told}, as {_shown(cell)} in {unit} {place} ({odd} of {len(series)} cells)"


def _target_change(
    frame: pd.DataFrame, target: str, task: Task, before: pd.DataFrame | None
) -> str:
    if target not in frame:
        return f"the target {_shown(target)} is missing"
    if task == "classification":
        changed = _became_numbers(frame, target, before)
        return f"the target {_shown(target)} had classes and holds numbers" if changed else ""
    try:
        targets_of(frame[target], task)
    except ValueError:
        return f"the target {_shown(target)} was number and holds {infer_kind(frame[target])}"
    return ""


def _became_numbers(frame: pd.DataFrame, name: str, before: pd.DataFrame | None) -> bool:
    if before is None or name not in before:
        return False
    return _all_numbers(frame[name]) and not _all_numbers(before[name])


def _all_numbers(series: pd.Series[Any]) -> bool:
    """Whether there is a value and each reads as a number; empty texts are no values."""
    known = series.dropna().astype("str")
    known = known[known != ""]
    return bool(len(known)) and bool(pd.to_numeric(known, errors="coerce").notna().all())


def _shown(name: str) -> str:
    return repr(name[:80])
