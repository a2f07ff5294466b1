"""What the data of a declared model says: its task, its features, and how its cells are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from models_app import datasets
from models_app.declaration import DeclaredModel
from models_app.learning import profile
from models_app.learning.conventions import Convention
from models_app.learning.evidence import refuse_unlearnable
from models_app.learning.profile import Declared, Understanding
from models_app.learning.tables import (
    Task,
    default_metric,
    infer_schema,
    infer_task,
    targets_of,
)
from models_app.models import RegisteredModel
from models_app.table_files import FileForm

KEPT_OF_FEATURES = ("name", "kind", "required", "reading", "label", "ignored")


def learnt_from(
    declared: DeclaredModel, source: str, *, stored: RegisteredModel | None, reread: bool = False
) -> dict[str, Any]:
    """Task, metric, features, reading and profile of a declared model, as its fields are named.

    stored: what is known of it. A model that was declared before readings were kept stays as it is
    read, until `reread` or a declaration that says how to read. Raises DataRefused, SourceRefused
    and OSError for data that cannot be read, and ValueError for what does not fit it.
    """
    if stored is not None and is_unread(declared, stored) and not reread:
        return _as_pandas_tells(declared, source, stored)
    form = FileForm(declared.reading.separator or "", declared.reading.encoding or "utf-8")
    frame, found, _ = datasets.read_texts(source, form)
    understood = profile.understand(frame, declared.target, _declared(declared, found))
    if stored is None:
        # What was declared before goes on serving, whatever its data has become since.
        targets = targets_of(understood.rows[declared.target], understood.task)
        refuse_unlearnable(targets, understood.task, target=declared.target)
    known = (stored.task, stored.metric, stored.estimator) if stored else None
    metric = _metric(declared, understood.task, known)
    return {
        "task": understood.task,
        "metric": metric,
        "features": _features(understood.schema.to_json()),
        "reading": _reading(found, understood.target),
        "profile": _profile(understood),
    }


def is_unread(declared: DeclaredModel, stored: RegisteredModel) -> bool:
    """Whether the cells of a model's data are read as pandas tells, from before readings were kept.

    A declaration that says how to read ends that.
    """
    how = {"format", "missing", "decimal", "thousands"}
    said = [
        declared.reading.model_dump(exclude_defaults=True),
        declared.ignore,
        *(one.model_dump(include=how, exclude_none=True) for one in declared.features.values()),
    ]
    return bool(stored.features) and not stored.reading and not any(said)


def changed_features(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> Iterator[str]:
    """A line for each feature that is added, removed, or of another kind, need or reading."""
    old = {feature["name"]: feature for feature in before or ()}
    new = {feature["name"]: feature for feature in after}
    for name in old.keys() - new.keys():
        yield f"feature {name!r}: removed"
    for name, feature in new.items():
        if name not in old:
            yield f"feature {name!r}: {_shown(feature)}"
        elif old[name] != feature:
            yield f"feature {name!r}: {_shown(old[name], short=True)} -> {_shown(feature)}"


def _shown(feature: Mapping[str, Any], *, short: bool = False) -> str:
    if feature.get("ignored"):
        return "left out"
    if short:
        return str(feature["kind"])
    need = "required" if feature["required"] else "optional"
    how = ", ".join(f"{key} {value!r}" for key, value in feature.get("reading", {}).items())
    label = f"called {feature['label']!r}" if feature.get("label") else ""
    return ", ".join(filter(None, (feature["kind"], need, how, label)))


def _as_pandas_tells(
    declared: DeclaredModel, source: str, stored: RegisteredModel
) -> dict[str, Any]:
    frame = datasets.read_table(source)
    if declared.target not in frame:
        raise datasets.DataRefused(
            f"target {declared.target!r} is no column; there are {', '.join(frame.columns)}"
        )
    task = declared.task or infer_task(frame[declared.target])
    metric = _metric(declared, task, (stored.task, stored.metric, stored.estimator))
    overrides = {
        name: feature.model_dump(exclude_none=True) for name, feature in declared.features.items()
    }
    schema = infer_schema(frame, target=declared.target, declared=overrides)
    return {"task": task, "metric": metric, "features": _features(schema.to_json())}


def _features(schema: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The categories are each version's own: one more in the data is no other declaration."""
    return [{key: one[key] for key in KEPT_OF_FEATURES if key in one} for one in schema]


def _declared(declared: DeclaredModel, form: FileForm) -> Declared:
    return Declared(
        task=declared.task,
        features={
            name: feature.model_dump(exclude_none=True)
            for name, feature in declared.features.items()
        },
        ignore=declared.ignore,
        separator=form.separator,
        decimal=declared.reading.decimal or "",
        thousands=declared.reading.thousands or "",
        missing=declared.reading.missing,
    )


def _metric(declared: DeclaredModel, task: Task, known: tuple[str, str, str] | None) -> str:
    """The metric, once it and the estimator were checked; known: those that were before."""
    metric = declared.metric or default_metric(task)
    if known != (task, metric, declared.estimator):
        # Imported only when there is something new to look up: scikit-learn takes seconds, and
        # every start applies.
        from models_app.learning.evaluation import check_metric  # noqa: PLC0415
        from models_app.learning.pipeline import check_estimator  # noqa: PLC0415

        check_metric(metric, task)
        check_estimator(declared.estimator, task)
    return metric


def _reading(form: FileForm, target: Convention) -> dict[str, Any]:
    return {
        **asdict(form),
        "target": {"kind": target.kind, "reading": target.reading.to_json()},
    }


def _profile(understood: Understanding) -> dict[str, Any]:
    return {
        "rows": len(understood.rows),
        "unusable": understood.unusable,
        "columns": [asdict(column) for column in understood.columns],
    }
