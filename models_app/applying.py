"""Make the database agree with the declared models, and say what that changes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from models_app import datasets, inference, policies
from models_app.addresses import SourceRefused
from models_app.declaration import Declaration, DeclaredModel, locate_data
from models_app.models import RegisteredModel

Features = list[dict[str, Any]]

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
            if key == "profile":
                continue
            if key == "features":
                told = inference.changed_features(cast("Features", before), cast("Features", after))
                yield from (f"    {line}" for line in told)
            else:
                yield f"    {key}: {before!r} -> {after!r}"

    def _made(self) -> Iterator[str]:
        made = {key: after for key, (_, after) in self.fields.items()}
        yield f"{made['task']} of {made['target']!r} from {made['data']}"
        by_kind: dict[str, list[str]] = {}
        for feature in cast("list[dict[str, Any]]", made["features"]):
            if feature.get("ignored"):
                continue
            need = "" if feature["required"] else " (optional)"
            by_kind.setdefault(feature["kind"], []).append(feature["name"] + need)
        for kind, names in by_kind.items():
            yield f"{kind}: {', '.join(names)}"


def plan(
    declaration: Declaration, path: Path, *, prune: bool = False, reread: bool = False
) -> list[Change]:
    """What `apply` would change, in the order of the file; empty when nothing would.

    reread: also the data of models that are read as pandas tells, see `inference`. Raises
    PlanRefused when a model's data, target, estimator or metric cannot be used.
    """
    stored = {model.name: model for model in RegisteredModel.objects.all()}
    default = _default_of(declaration, stored.values())
    changes = [
        _compare(
            name,
            _wanted(name, declared, path, stored.get(name), default, reread=reread),
            stored.get(name),
        )
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


@dataclass(frozen=True)
class DataProfile:
    """What is understood of a model's data. pending: what `--reread` would change, a line each."""

    name: str
    profile: Mapping[str, Any]
    pending: Sequence[str] = ()


def profiles(
    declaration: Declaration, path: Path, changes: Iterable[Change]
) -> Iterator[DataProfile]:
    """What is understood of the data of each declared model, once `changes` are applied."""
    changed = {change.name: change.fields for change in changes}
    stored = RegisteredModel.objects.in_bulk(list(declaration.models), field_name="name")
    for name, declared in declaration.models.items():
        _, profile = changed.get(name, {}).get("profile", (None, None))
        if profile is None and name in stored:
            profile = stored[name].profile
        if profile:
            yield DataProfile(name, cast("Mapping[str, Any]", profile))
        elif name in stored:
            yield _pending(name, declared, path, stored[name])


def _pending(
    name: str, declared: DeclaredModel, path: Path, stored: RegisteredModel
) -> DataProfile:
    source = locate_data(declared.data, path.parent)
    try:
        found = inference.learnt_from(declared, source, stored=stored, reread=True)
    except (ValueError, datasets.DataRefused, SourceRefused, OSError) as error:
        return DataProfile(name, {}, str(error).splitlines())
    lines = list(inference.changed_features(stored.features, found["features"]))
    if (stored.task, stored.metric) != (found["task"], found["metric"]):
        lines.append(f"task: {stored.task} -> {found['task']}")
    return DataProfile(name, found["profile"], lines or ["only how cells are read"])


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
    *,
    reread: bool,
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
        wanted |= _learnt_from_data(declared, wanted["data"], stored, reread=reread)
    except (ValueError, datasets.DataRefused, SourceRefused, OSError) as error:
        lines = str(error).splitlines() or [repr(error)]
        told = "\n".join(f"{path}: [models.{name}]: {line}" for line in lines)
        raise PlanRefused(told) from None
    return wanted


def _learnt_from_data(
    declared: DeclaredModel, source: str, stored: RegisteredModel | None, *, reread: bool
) -> dict[str, Any]:
    try:
        return inference.learnt_from(declared, source, stored=stored, reread=reread)
    except (datasets.DataRefused, SourceRefused, OSError) as error:
        # A source that is away must not keep a model that was declared before from serving.
        if stored is None or (stored.data, stored.target) != (source, declared.target):
            raise
        logger.warning("%s stays as it was declared, its data cannot be read: %s", stored, error)
        return {}


def _compare(name: str, wanted: dict[str, Any], stored: RegisteredModel | None) -> Change | None:
    if stored is None:
        created: dict[str, tuple[object, object]] = {
            key: (None, value) for key, value in wanted.items() if value is not None
        }
        return Change(name, "create", created)
    differing = {
        key: (getattr(stored, key), value)
        for key, value in wanted.items()
        if _differs(key, stored, value)
    }
    return Change(name, "update", differing) if differing else None


def _differs(key: str, stored: RegisteredModel, value: Any) -> bool:
    """A profile differs in what it says, not in how many rows there are by now."""
    before = getattr(stored, key)
    return _said(before) != _said(value) if key == "profile" else before != value


def _said(profile: Mapping[str, Any]) -> list[Any]:
    told = ("name", "kind", "assumptions", "warnings", "left_out")
    return [[list(column[key]) for key in told] for column in profile.get("columns", ())]
