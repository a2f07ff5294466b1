"""One attempt at a run: snapshot, version, verdict, promotion, each kept before the next."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import pandas as pd
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from feedback_app import (
    arrivals,
    dispatching,
    failures,
    handing_over,
    judging,
    registering,
    retraining,
    setting_aside,
    snapshots,
)
from feedback_app.attempt import Attempt, LeaseLost
from feedback_app.models import RetrainingRun
from feedback_app.retraining import LONGEST_ERROR
from feedback_app.training_rows import seed_of
from models_app import datasets, learnt, promotion, training
from models_app.actors import system_user
from models_app.learning.triggers import SourceState
from models_app.models import Deployment, ModelVersion, RegisteredModel, TrainingSnapshot
from models_app.refusals import Refused, Unavailable
from models_app.registry import RegistryRefused

logger = logging.getLogger(__name__)

Status = RetrainingRun.Status
Standing = ModelVersion.Status
STATUS_OF_VERDICT = {
    "PROMOTE": Status.SUCCEEDED,
    "HOLD": Status.HELD,
    "REJECT": Status.REJECTED,
}


def carry_out(run: RetrainingRun, token: int) -> str:
    """Take a claimed run to its verdict, or to the error that ends or postpones it.

    Returns a sentence for the log. The champion changes only by a promotion at the end.
    """
    attempt = Attempt(run, token)
    try:
        _advance_once_more(attempt)
    except LeaseLost as lost:
        return str(lost)
    except dispatching.GitHubAway as away:
        logger.warning("%s waits: %s", run, away)
        why = f"github_away: {failures.plain(away)}"
        retraining.postpone(run.pk, token, step=dispatching.WAITING, why=why)
    except MemoryError:
        # No more than the loss of this process; whether it is tried again, the parent decides.
        raise
    except Exception as error:
        logger.exception("%s failed", run)
        end = retraining.fail if failures.lasts(error) else retraining.retry_or_fail
        end(run.pk, token, _told(run, error))
    run.refresh_from_db()
    return f"{run}: {run.status} {run.error}".strip()


def _advance_once_more(attempt: Attempt) -> None:
    """`_advance`, and if learning fails, again without the feedback since it last worked."""
    try:
        _advance(attempt)
    except (LeaseLost, MemoryError, RegistryRefused, *failures.PASSING):
        raise
    except Exception as error:
        # Before there is a snapshot only base data was looked at.
        learning = attempt.run.snapshot_id is not None
        if not learning or handing_over.is_for_a_workflow(attempt.run):
            raise
        if not setting_aside.leave_out_newest(attempt, _told(attempt.run, error)):
            raise
        logger.exception("%s begins again without the newest feedback", attempt.run)
        _advance(attempt)


def _advance(attempt: Attempt) -> None:
    run = attempt.run
    snapshot = run.snapshot or _freeze(attempt)
    if run.version is None and handing_over.is_for_a_workflow(run):
        if not handing_over.announced(run):
            dispatching.dispatch(attempt)
        handing_over.hand_over(attempt)
        return
    version = run.version or _train(attempt, snapshot)
    setting_aside.quarantine(attempt, snapshot)
    if not run.verdict:
        _judge(attempt, version, snapshot)
    refusal = _promote_if_wanted(attempt, version)
    attempt.write(
        status=STATUS_OF_VERDICT[run.verdict],
        ended_at=timezone.now(),
        leased_until=None,
        step="",
        done=0,
        total=0,
        error=" ".join(filter(None, (refusal, setting_aside.told(run))))[:LONGEST_ERROR],
    )


def _freeze(attempt: Attempt) -> TrainingSnapshot:
    run = attempt.run
    model = run.registered_model
    attempt.progress("data", 0, 1)
    base, source = _read(model, run.data)
    attempt.progress("snapshot", 0, 1)
    with _refusing_data(model):
        # Up to the start, from which on feedback counts towards the next run.
        up_to = run.feedback_until or run.started_at or timezone.now()
        snapshot = snapshots.freeze(model, base=base, up_to=up_to)
    attempt.write(snapshot=snapshot, source=asdict(source))
    return snapshot


def _read(model: RegisteredModel, place: str) -> tuple[pd.DataFrame, SourceState]:
    """The base data. Raises Unavailable when its server does not answer now."""
    try:
        return datasets.read_for(model, place)
    except OSError as error:
        told = failures.of_source(error, place or model.data)
        raise Unavailable(told, code="source_away") from error


def _train(attempt: Attempt, snapshot: TrainingSnapshot) -> ModelVersion:
    run = attempt.run
    key, recipe = str(run.pk), run.registered_model.recipe
    learned = learnt.kept(key, snapshot_digest=snapshot.digest, recipe=recipe)
    if learned is None:
        frozen = snapshots.load(snapshot, champion=_champion(run))
        with _refusing_data(run.registered_model):
            learned = training.learn(
                run.registered_model,
                train=frozen.train,
                unseen=frozen.unseen,
                snapshot_digest=snapshot.digest,
                seed=seed_of(snapshot.digest),
                on_progress=attempt.progress,
            )
        learnt.keep(key, learned)
    return registering.register(attempt, snapshot, learned)


@contextmanager
def _refusing_data(model: RegisteredModel) -> Iterator[None]:
    """Whatever rows make learning say, ends the run under one name: only other rows would help."""
    try:
        yield
    except ValueError as error:
        why = failures.of_rows(error, estimator=model.estimator)
        raise datasets.DataRefused(why) from error


def _told(run: RetrainingRun, error: Exception) -> str:
    return failures.told(error, estimator=run.registered_model.estimator)


def _judge(attempt: Attempt, version: ModelVersion, snapshot: TrainingSnapshot) -> None:
    attempt.progress("gate", 0, 1)
    if version.snapshot is None:
        arrivals.describe(version)
    champion = _rival(attempt.run, version)
    frozen = snapshots.load(snapshot, champion=champion, challenger=version)
    report = judging.judge(
        version,
        champion=champion,
        frozen=frozen,
        seed=seed_of(snapshot.digest),
        automatic=_is_automatic(attempt.run),
    )
    version.gate = report
    with transaction.atomic():
        attempt.write(verdict=report["verdict"])
        version.save(update_fields=["gate"])
        if report["verdict"] == "REJECT":
            # One that somebody had served by MLflow's alias meanwhile does not stop serving.
            waiting = ModelVersion.objects.filter(pk=version.pk, status=Standing.CANDIDATE)
            waiting.update(status=Standing.REJECTED)


def _rival(run: RetrainingRun, version: ModelVersion) -> ModelVersion | None:
    """What the version is compared with: what serves now, or what served before it."""
    # Asked now: another version may have been promoted while this one was being trained.
    champion = _champion(run)
    if champion == version:
        return promotion.served_before(run.registered_model)
    return champion


def _promote_if_wanted(attempt: Attempt, version: ModelVersion) -> str:
    """Promote where somebody or a policy asked for it; returns why that was refused, or ""."""
    run = attempt.run
    wish = _wish(run)
    if run.verdict != "PROMOTE" or wish is None:
        return ""
    attempt.progress("promote", 0, 1)
    actor, door, reason = wish
    try:
        promotion.promote(version, actor=actor, door=door, reason=reason)
    except (Refused, PermissionDenied) as refusal:
        logger.warning("%s not promoted: %s", version, refusal)
        return f"not promoted: {refusal}"[:LONGEST_ERROR]
    return ""


def _wish(run: RetrainingRun) -> tuple[User, Deployment.Door, str] | None:
    """Who wants the version promoted, through which door, and why."""
    policy = Deployment.Door.POLICY
    if _champion(run) is None:
        return system_user("everlearn"), policy, "The first servable version has no rival."
    gate = run.version.gate if run.version else None
    if not _is_automatic(run) or not gate or not gate.get("automatic"):
        # The mode may have changed since the version was judged for a person.
        return None
    if run.promote:
        return run.requested_by, Deployment.Door.CLI, run.reason or f"Asked for with {run}."
    return system_user("everlearn"), policy, "The gate said PROMOTE and the mode is auto."


def _is_automatic(run: RetrainingRun) -> bool:
    """Whether the version is promoted on PROMOTE before a person sees the report."""
    mode = RegisteredModel.objects.get(pk=run.registered_model_id).promotion.get("mode")
    return run.promote or mode == "auto"


def _champion(run: RetrainingRun) -> ModelVersion | None:
    return RegisteredModel.objects.get(pk=run.registered_model_id).champion
