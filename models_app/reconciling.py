"""Keep MLflow's registry and ours in agreement: versions mirrored in, aliases both ways.

Runs in the worker every few seconds and when somebody asks through `syncing`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

from django.db import DatabaseError
from django.db.models import F, Q
from django.utils import timezone

from models_app import importing, promotion, registry
from models_app.models import ModelVersion, RegisteredModel, RegistryAlias, RegistrySync
from models_app.refusals import Refused
from models_app.remote import RemoteModel, RemoteVersion

logger = logging.getLogger(__name__)

EVERY = timedelta(seconds=12)
GIVE_UP = timedelta(seconds=60)
LONGEST_WHY = 500


def reconcile(models: list[RegisteredModel] | None = None) -> None:
    """Mirror MLflow's registry into the database and our aliases into MLflow, now.

    What goes wrong with one model or version keeps no other from its turn. Raises RegistryAway
    when MLflow does not answer at all; what was done until then stays.
    """
    for model in models or RegisteredModel.objects.filter(retired_at=None):
        try:
            _reconcile_one(model)
        except registry.RegistryRefused as refusal:
            logger.warning("reconcile %s: %s", model, refusal)
        except registry.RegistryAway as away:
            logger.warning("reconcile %s: %s", model, away)
            registry.count_models()  # raises when it is not this model alone
        except DatabaseError:
            raise
        except Exception:
            # What others wrote into MLflow may be anything.
            logger.exception("reconcile %s failed", model)


def _reconcile_one(model: RegisteredModel) -> None:
    # Read first: what is registered meanwhile is not missing.
    known = list(model.versions.all())
    remote = registry.describe(model.name)
    _note_missing(known, remote)
    if remote is None:
        return
    for found in remote.versions:
        _mirror_version(model, found)
    for alias in _wanted_aliases(model, remote):
        _agree(model, alias, remote)


def reconcile_if_due(*, also: Callable[[], None] = lambda: None) -> bool:
    """Reconcile when asked or when the last one is old; False when neither, or another does.

    also: what else is to be done then, as long as MLflow answers.
    """
    sync, _ = RegistrySync.objects.get_or_create(pk=1)
    now = timezone.now()
    idle = Q(finished_at__gte=F("started_at")) | Q(started_at__lt=now - GIVE_UP)
    due = Q(requested_at__gt=F("started_at")) | Q(started_at__lt=now - EVERY)
    free = Q(started_at=None) | idle & due
    if not RegistrySync.objects.filter(free, pk=sync.pk).update(started_at=now):
        return False
    error = ""
    try:
        reconcile()
        also()
    except registry.RegistryAway as away:
        error = str(away)
        logger.warning("reconcile: %s", away)
    RegistrySync.objects.filter(pk=sync.pk).update(finished_at=timezone.now(), error=error[:500])
    return True


def _note_missing(known: list[ModelVersion], remote: RemoteModel | None) -> None:
    """Mark our versions that MLflow has no more, or whose number it has given to another."""
    there = {one.number: one.mlflow_run_id for one in remote.versions} if remote else {}
    for version in known:
        missing = there.get(version.number) != version.mlflow_run_id
        if missing != version.missing_in_registry:
            logger.warning("%s is %s MLflow", version, "missing in" if missing else "back in")
            ModelVersion.objects.filter(pk=version.pk).update(missing_in_registry=missing)


def _mirror_version(model: RegisteredModel, found: RemoteVersion) -> None:
    """A version that was registered elsewhere gets a row, and serves only if it is a bundle."""
    known = model.versions.filter(number=found.number).first()
    if known is not None and (
        known.verify_again_at is None or known.verify_again_at > timezone.now()
    ):
        return
    try:
        row = importing.describe(model, found, tried=known.verify_attempts if known else 0)
    except Exception as error:
        logger.exception("%s version %s cannot be described", model, found.number)
        row = {"recipe": "", "unservable_because": f"verification_failed: {error!r}"[:500]}
    if known is None:
        warnings = model.warnings if row["recipe"] == model.recipe else {}
        ModelVersion.objects.get_or_create(
            registered_model=model, number=found.number, defaults={**row, "warnings": warnings}
        )
    else:
        # Unless a training here has registered it meanwhile.
        waiting = ModelVersion.objects.filter(pk=known.pk, verify_again_at__isnull=False)
        waiting.update(**{"verify_again_at": None, **row})


def _wanted_aliases(model: RegisteredModel, remote: RemoteModel) -> list[RegistryAlias]:
    """Our aliases, and those of the two that were set in MLflow before we had a word."""
    ours = {alias.alias: alias for alias in model.aliases.all()}
    for name in (promotion.CHAMPION_ALIAS, promotion.CHALLENGER_ALIAS):
        if name in remote.aliases and name not in ours:
            ours[name] = RegistryAlias(registered_model=model, alias=name, number=0, mirrored=0)
    return list(ours.values())


def _agree(model: RegisteredModel, alias: RegistryAlias, remote: RemoteModel) -> None:
    there = remote.aliases.get(alias.alias)
    if alias.number == there:
        _settle(alias, alias.number)
    elif alias.number != alias.mirrored or there is None:
        # What MLflow has lost can have no alias there.
        if alias.number in {version.number for version in remote.versions}:
            registry.set_alias(model.name, alias.alias, alias.number)
            _settle(alias, alias.number)
    elif alias.alias == promotion.CHAMPION_ALIAS:
        _moved_by_others(model, alias, there)
    else:
        # Unless a training moved it meanwhile: that one is pushed next time.
        RegistryAlias.objects.filter(pk=alias.pk, number=alias.number).update(number=there)
        alias.number = there
        _settle(alias, there)


def _settle(alias: RegistryAlias, seen: int) -> None:
    if alias.mirrored == seen and alias.pk and alias.held_for_review is None:
        return
    settled = {"mirrored": seen, "held_for_review": None, "held_because": ""}
    for name, value in settled.items():
        setattr(alias, name, value)
    if alias.pk is None:
        alias.save()
        return
    # `number` may have been moved by a promotion meanwhile: that one is pushed next time.
    RegistryAlias.objects.filter(pk=alias.pk).update(**settled)


def _moved_by_others(model: RegisteredModel, alias: RegistryAlias, remote: int) -> None:
    """Others moved `prod` in MLflow: follow, or hold it for a person and say why.

    One that is held is looked at again each time, since the gate may have judged it meanwhile.
    """
    why = _not_followed(model, alias, remote)
    if not why or (alias.held_for_review, alias.held_because) == (remote, why):
        return
    logger.warning("%s@%s now names version %s: %s", model, alias.alias, remote, why)
    if alias.pk is None:
        alias.save()
    RegistryAlias.objects.filter(pk=alias.pk).update(held_for_review=remote, held_because=why)


def _not_followed(model: RegisteredModel, alias: RegistryAlias, remote: int) -> str:
    """Why the moved alias is held; "" once it was followed."""
    version = model.versions.filter(number=remote).first()
    lost = model.versions.filter(number=alias.number, missing_in_registry=True).exists()
    if version is None or lost or version.missing_in_registry:
        return "MLflow has lost versions, as after a restore"
    if model.promotion.get("external", "follow") != "follow":
        return "the policy asks for review"
    try:
        promotion.follow(version, reason=f"{alias} was moved to {remote} in MLflow")
    except Refused as refusal:
        return refusal.detail[:LONGEST_WHY]
    RegistryAlias.objects.filter(registered_model=model, alias=alias.alias, number=remote).update(
        mirrored=remote
    )
    return ""
