"""Make the database agree with the declared models, and say what that changes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pandas as pd
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from models_app import datasets, policies
from models_app.addresses import SourceRefused
from models_app.declaration import Declaration, DeclaredModel, locate_data
from models_app.learning.tables import Task, default_metric, infer_schema, infer_task
from models_app.models import RegisteredModel

logger = logging.getLogger(__name__)


class PlanRefused(Exception):
    """A declared model cannot be made from its data; the message names model and reason."""


@dataclass(frozen=True)
class Change:
    """One model that differs from its declaration; `fields` maps a name to (is, shall be)."""

    name: str
    verb: str
    fields: dict[str, tuple[object, object]] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """What `apply --plan` prints about it."""
        sign = {"create": "+", "update": "~", "retire": "-"}[self.verb]
        yield f"{sign} {self.name}: {self.verb}"
        if self.verb == "create":
            yield from (f"    {line}" for line in self._made())
            return
        for key, (before, after) in self.fields.items():
            if key == "features":
                yield from (f"    {line}" for line in _feature_lines(before, after))
            else:
                yield f"    {key}: {before!r} -> {after!r}"

    def _made(self) -> Iterator[str]:
        made = {key: after for key, (_, after) in self.fields.items()}
        yield f"{made['task']} of {made['target']!r} from {made['data']}"
        by_kind: dict[str, list[str]] = {}
        for feature in cast("list[dict[str, Any]]", made["features"]):
            need = "" if feature["required"] else " (optional)"
            by_kind.setdefault(feature["kind"], []).append(feature["name"] + need)
        for kind, names in by_kind.items():
            yield f"{kind}: {', '.join(names)}"


def plan(declaration: Declaration, path: Path, *, prune: bool = False) -> list[Change]:
    """What `apply` would change, in the order of the file; empty when nothing would.

    Raises PlanRefused when a model's data, target, estimator or metric cannot be used.
    """
    stored = {model.name: model for model in RegisteredModel.objects.all()}
    default = _default_of(declaration, stored.values())
    changes = [
        _compare(name, _wanted(name, declared, path, stored.get(name), default), stored.get(name))
        for name, declared in declaration.models.items()
    ]
    for name, model in stored.items():
        if name in declaration.models:
            continue
        if prune and model.retired_at is None:
            changes.append(Change(name, "retire"))
        elif model.is_default and default is not None:
            changes.append(Change(name, "update", {"is_default": (True, False)}))
    return [change for change in changes if change is not None]


@transaction.atomic
def apply(changes: list[Change], *, actor: User) -> None:
    """Carry out what `plan` found: all of it, or nothing. Raises PermissionDenied."""
    policies.refuse_unless_allowed(actor)
    # First, so that the constraint of one default model holds at every step.
    losing = [
        change.name
        for change in changes
        if change.verb == "retire" or change.fields.get("is_default") == (True, False)
    ]
    RegisteredModel.objects.filter(name__in=losing).update(is_default=False)
    for change in changes:
        values = {key: after for key, (_, after) in change.fields.items()}
        if change.verb == "retire":
            values = {"retired_at": timezone.now(), "is_default": False}
        RegisteredModel.objects.update_or_create(name=change.name, defaults=values)


def _default_of(declaration: Declaration, stored: Iterable[RegisteredModel]) -> str | None:
    """The model that the file makes the default; None leaves the default as it is."""
    has_default = any(model.is_default for model in stored)
    if declaration.default is None and len(declaration.models) == 1 and not has_default:
        return next(iter(declaration.models))
    return declaration.default


def _wanted(
    name: str,
    declared: DeclaredModel,
    path: Path,
    stored: RegisteredModel | None,
    default: str | None,
) -> dict[str, Any]:
    wanted: dict[str, Any] = {
        "data": locate_data(declared.data, path.parent),
        "target": declared.target,
        "public": declared.public,
        "estimator": declared.estimator,
        "retrain": declared.retrain.model_dump(exclude_none=True),
        "promotion": declared.promotion.model_dump(exclude_none=True),
        "feedback": declared.feedback.model_dump(exclude_none=True),
        "retired_at": None,
    }
    if default is not None:
        wanted["is_default"] = name == default
    try:
        wanted |= _learnt_from_data(declared, wanted["data"], stored)
    except (ValueError, datasets.DataRefused, SourceRefused, OSError) as error:
        raise PlanRefused(f"{path}: [models.{name}]: {error}") from None
    return wanted


def _learnt_from_data(
    declared: DeclaredModel, source: str, stored: RegisteredModel | None
) -> dict[str, Any]:
    try:
        frame = datasets.read_table(source)
    except (datasets.DataRefused, SourceRefused, OSError) as error:
        # A source that is away must not keep a model that was declared before from serving.
        if stored is None or (stored.data, stored.target) != (source, declared.target):
            raise
        logger.warning("%s stays as it was declared, its data cannot be read: %s", stored, error)
        return {}
    known = (stored.task, stored.metric, stored.estimator) if stored else None
    return learnt_from(declared, frame, known=known)


def learnt_from(
    declared: DeclaredModel, frame: pd.DataFrame, *, known: tuple[str, str, str] | None = None
) -> dict[str, Any]:
    """The task, metric and features of a declared model whose base data is `frame`.

    known: task, metric and estimator that were checked before. Raises DataRefused when there is
    no target, ValueError when something declared does not fit the data.
    """
    if declared.target not in frame:
        raise datasets.DataRefused(
            f"target {declared.target!r} is no column; there are {', '.join(frame.columns)}"
        )
    task = declared.task or infer_task(frame[declared.target])
    metric = declared.metric or default_metric(task)
    if known != (task, metric, declared.estimator):
        _refuse_unknown(metric, declared.estimator, task)
    overrides = {
        name: feature.model_dump(exclude_none=True) for name, feature in declared.features.items()
    }
    schema = infer_schema(frame, target=declared.target, declared=overrides)
    # The categories are each version's own: one more in the data is no other declaration.
    features = [
        {key: feature[key] for key in ("name", "kind", "required")} for feature in schema.to_json()
    ]
    return {"task": task, "metric": metric, "features": features}


def _refuse_unknown(metric: str, estimator: str, task: Task) -> None:
    # Imported only when there is something new to look up: scikit-learn takes seconds, and
    # every start applies.
    from models_app.learning.evaluation import check_metric  # noqa: PLC0415
    from models_app.learning.pipeline import check_estimator  # noqa: PLC0415

    check_metric(metric, task)
    check_estimator(estimator, task)


def _compare(name: str, wanted: dict[str, Any], stored: RegisteredModel | None) -> Change | None:
    if stored is None:
        created: dict[str, tuple[object, object]] = {
            key: (None, value) for key, value in wanted.items() if value is not None
        }
        return Change(name, "create", created)
    differing = {
        key: (getattr(stored, key), value)
        for key, value in wanted.items()
        if getattr(stored, key) != value
    }
    return Change(name, "update", differing) if differing else None


def _feature_lines(before: Any, after: Any) -> Iterator[str]:
    old = {feature["name"]: feature for feature in before or ()}
    new = {feature["name"]: feature for feature in after}
    for name in old.keys() - new.keys():
        yield f"feature {name!r}: removed"
    for name, feature in new.items():
        need = "required" if feature["required"] else "optional"
        if name not in old:
            yield f"feature {name!r}: {feature['kind']}, {need}"
        elif old[name] != feature:
            yield f"feature {name!r}: {old[name]['kind']} -> {feature['kind']}, {need}"
