"""Promote and roll back: the only code that moves what serves.

Admin, API, command and policy all come through here. Each move checks the permission of its
actor, swaps the champion only if the generation has not moved on, and writes one line of the
ledger, in one transaction; MLflow's alias follows later (see `reconciling`).
"""

from __future__ import annotations

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction

from models_app import bundles, signing, syncing
from models_app.actors import refuse_old_password, system_user
from models_app.learning.schema import Problem
from models_app.models import Deployment, ModelVersion, RegisteredModel, RegistryAlias
from models_app.refusals import (
    BundleRefused,
    Conflict,
    GateSaidNo,
    GenerationMoved,
    InvalidInput,
    NotServable,
)

CHAMPION_ALIAS = "prod"
CHALLENGER_ALIAS = "staging"
UNTRUSTED = "artifact_untrusted"
# Reasons of versions that cannot serve, which the API tells as codes of their own.
TOLD = frozenset({UNTRUSTED, signing.CODE, "features_differ", "verification_failed"})


def promote(
    version: ModelVersion,
    *,
    actor: User,
    door: Deployment.Door,
    reason: str,
    expected_generation: int | None = None,
    override: bool = False,
) -> Deployment:
    """Make `version` champion and return its line of the ledger.

    expected_generation: what served when the actor decided; now, when None. override: promote
    against the gate's word, for those who may. A version that serves already changes nothing.
    Raises PermissionDenied, InvalidInput, NotServable, GateSaidNo, Conflict or
    GenerationMoved, and then nothing has changed.
    """
    model = RegisteredModel.objects.get(pk=version.registered_model_id)
    _refuse_unless_allowed(actor, reason, override)
    if model.champion_id == version.pk:
        return newest(model)
    _refuse_generation(model, expected_generation)
    _refuse_unservable(version)
    _refuse_missing(version)
    if not override:
        _refuse_ungated(version, model)
    return _move(
        model,
        version,
        Deployment.Action.PROMOTE,
        actor=actor,
        door=door,
        reason=reason,
        override=override,
    )


def rollback(
    model: RegisteredModel,
    *,
    to: ModelVersion | None = None,
    actor: User,
    door: Deployment.Door,
    reason: str,
    expected_generation: int | None = None,
) -> Deployment:
    """Serve an earlier version again, as a new generation; needs neither MLflow nor queue.

    to: a version that served before; None for the one before the present. expected_generation:
    what served when the actor decided; now, when None. Raises PermissionDenied, InvalidInput,
    Conflict or GenerationMoved, and then nothing has changed.
    """
    model = RegisteredModel.objects.get(pk=model.pk)
    _refuse_unless_allowed(actor, reason)
    _refuse_generation(model, expected_generation)
    target = to or served_before(model)
    if target is None:
        raise Conflict(f"{model} has no earlier version to go back to", code="nothing_before")
    if model.champion_id == target.pk:
        return newest(model)
    if not model.deployments.filter(version=target).exists():
        raise Conflict(f"{target} never served; promote it instead", code="never_served")
    try:
        _refuse_unservable(target)
    except NotServable as refusal:
        raise Conflict(
            f"{target} cannot serve again: {refusal.detail}", code="bundle_unavailable"
        ) from None
    return _move(model, target, Deployment.Action.ROLLBACK, actor=actor, door=door, reason=reason)


def follow(version: ModelVersion, *, reason: str) -> Deployment:
    """Serve the version that MLflow's alias was moved to there.

    Only one that the gate would have promoted against the present champion, or that served
    before: who may move an alias in MLflow decides no more than that. Raises GateSaidNo,
    NotServable or GenerationMoved, and then nothing has changed.
    """
    model = RegisteredModel.objects.get(pk=version.registered_model_id)
    # First, as it is asked at each reconcile and loads nothing.
    if not model.deployments.filter(version=version).exists():
        _refuse_ungated(version, model)
    _refuse_unservable(version)
    return _move(
        model,
        version,
        Deployment.Action.EXTERNAL,
        actor=system_user("everlearn"),
        door=Deployment.Door.MLFLOW,
        reason=reason,
    )


def newest(model: RegisteredModel) -> Deployment:
    """The line of the ledger that says what serves now."""
    return model.deployments.select_related("version", "previous", "actor").latest("generation")


def served_before(model: RegisteredModel) -> ModelVersion | None:
    """What a rollback goes back to: the version before, those that were rolled back left out."""
    served: list[ModelVersion] = []
    for line in model.deployments.select_related("version").order_by("generation"):
        if line.version in served:
            del served[served.index(line.version) + 1 :]
        else:
            served.append(line.version)
    return served[-2] if len(served) > 1 else None


def _refuse_unless_allowed(actor: User, reason: str, override: bool = False) -> None:
    if not actor.has_perm("models_app.promote_registeredmodel"):
        raise PermissionDenied("Promoting and rolling back needs promote_registeredmodel.")
    if override and not actor.has_perm("models_app.override_gate"):
        raise PermissionDenied("Promoting against the gate's word needs override_gate.")
    if override:
        refuse_old_password(actor)
    if not reason.strip():
        raise InvalidInput([Problem("reason", "required", "Say why: the ledger keeps it.")])


def _refuse_generation(model: RegisteredModel, expected: int | None) -> None:
    if expected is not None and expected != model.generation:
        raise GenerationMoved(
            f"Nothing changed: generation {expected} no longer serves {model}, "
            f"{model.generation} does. Look again, then decide.",
            generation=model.generation,
        )


def _refuse_unservable(version: ModelVersion) -> None:
    if not version.servable:
        why = version.unservable_because or "it has no bundle"
        told = why.partition(":")[0]
        code = told if told in TOLD else ""
        raise NotServable(f"{version} cannot serve: {why}", code=code)
    try:
        # Loaded once before the pointer moves, so that no web process is the first to fail.
        bundles.load(version.bundle_digest)
    except BundleRefused as refusal:
        raise NotServable(
            f"{version} cannot serve: {refusal.detail}", code=refusal.code
        ) from refusal


def _refuse_missing(version: ModelVersion) -> None:
    if version.missing_in_registry:
        raise NotServable(
            f"{version} is missing in MLflow, where it was deleted or lost; train again",
            code="missing_in_registry",
        )


def _refuse_ungated(version: ModelVersion, model: RegisteredModel) -> None:
    gate = version.gate
    if gate is None:
        raise GateSaidNo(f"{version} was never evaluated by the gate", code="evaluation_missing")
    # What the gate leaves to a person, whoever promotes by hand has decided.
    if gate["verdict"] != "PROMOTE" and not gate.get("left_to_a_person"):
        failed = [check["name"] for check in gate["checks"] if not check["passed"]]
        raise GateSaidNo(
            f"{version} not promoted: the gate said {gate['verdict']} ({', '.join(failed)})"
        )
    champion = model.champion.number if model.champion else None
    if gate["against"] != champion:
        raise GateSaidNo(
            f"{version} was compared with version {gate['against']}, but {champion} serves; "
            "train again",
            code="evaluation_stale",
        )


@transaction.atomic
def _move(
    model: RegisteredModel,
    version: ModelVersion,
    action: Deployment.Action,
    *,
    actor: User,
    door: Deployment.Door,
    reason: str,
    override: bool = False,
) -> Deployment:
    previous, generation = model.champion, model.generation + 1
    decided_on = RegisteredModel.objects.filter(pk=model.pk, generation=model.generation)
    if not decided_on.update(champion=version, generation=generation):
        now = RegisteredModel.objects.get(pk=model.pk).generation
        raise GenerationMoved(
            f"Nothing changed: generation {model.generation} no longer serves {model}, {now} does.",
            generation=now,
        )
    if previous is not None:
        ModelVersion.objects.filter(pk=previous.pk).update(status=ModelVersion.Status.RETIRED)
    ModelVersion.objects.filter(pk=version.pk).update(status=ModelVersion.Status.CHAMPION)
    RegistryAlias.objects.update_or_create(
        registered_model=model,
        alias=CHAMPION_ALIAS,
        defaults={"number": version.number, "held_for_review": None, "held_because": ""},
    )
    syncing.ask()
    return Deployment.objects.create(
        registered_model=model,
        generation=generation,
        version=version,
        previous=previous,
        action=action,
        actor=actor,
        door=door,
        reason=reason.strip(),
        override=override,
    )
