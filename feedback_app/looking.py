"""Look at the models' data sources, so that unchanged data starts no run and new rows start one.

Whether a source changed is asked of whoever holds it; it is read, in a process of its own, only
where rows are to be counted in a version of it that nobody has counted yet. What was found is
a row, from which `triggering` decides.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import asdict, replace
from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from feedback_app import retraining, triggering
from feedback_app.models import SourceLook
from feedback_app.secrecy import without_secrets
from models_app import datasets, lifeline
from models_app.learning.triggers import SourceState, wants_look
from models_app.models import RegisteredModel
from models_app.refusals import Refused

logger = logging.getLogger(__name__)

# Beyond the time that the data may take to arrive.
COUNTING = timedelta(minutes=2)
LONGEST_ERROR = 500
SOURCE_TRIGGERS = ("schedule", "new_rows")


class NotCounted(Exception):
    """The rows of a source could not be counted; the message says why."""


def look_where_wanted() -> None:
    """Look at each source on which it depends whether a run is due. Safe in several workers."""
    every = timedelta(seconds=settings.EVERLEARN_DATA_LOOK)
    for model in RegisteredModel.objects.filter(retired_at=None):
        if not any(map(model.retrain.get, SOURCE_TRIGGERS)) or retraining.active_run(model):
            continue
        try:
            wanted = wants_look(model.retrain, triggering.observed(model), every=every)
        except ValueError:
            continue  # a policy that cannot be read: `triggering` says so
        if wanted:
            look(model)


def look(model: RegisteredModel) -> None:
    """Note what the model's source has now, or why that is not known."""
    kept, _ = SourceLook.objects.get_or_create(registered_model=model)
    if not _claim(kept):
        return
    found, error = None, ""
    try:
        found = datasets.look(model.data)
        if model.retrain.get("new_rows"):
            found = _counted(model, found, kept)
    except (Refused, datasets.DataRefused, NotCounted, OSError) as refusal:
        found, error = None, without_secrets(" ".join(str(refusal).split()))[:LONGEST_ERROR]
        if error != kept.error:
            logger.warning("the data source of %s: %s", model, error)
    SourceLook.objects.filter(pk=kept.pk).update(
        waiting_since=None,
        begun_at=None,
        at=timezone.now(),
        found=found and asdict(found),
        error=error,
    )


def _claim(kept: SourceLook) -> bool:
    """Have no other worker look meanwhile; one that died is waited for no longer than a look."""
    now = timezone.now()
    free = Q(begun_at=None) | Q(begun_at__lt=now - _longest())
    return SourceLook.objects.filter(free, pk=kept.pk).update(begun_at=now) == 1


def _longest() -> timedelta:
    return timedelta(seconds=settings.EVERLEARN_DATA_TIMEOUT) + COUNTING


def _counted(model: RegisteredModel, found: SourceState, kept: SourceLook) -> SourceState:
    """`found` with its rows, which are known already when it was counted or learnt from."""
    counted = SourceState(**kept.found) if kept.found else None
    for state in (counted, triggering.observed(model).learnt_from):
        if state is None or state.rows is None or not found.fingerprint:
            continue
        if replace(state, rows=None) == found:
            return state
    return _read(model)


def _read(model: RegisteredModel) -> SourceState:
    command = lifeline.tied(sys.executable, "manage.py", "count_rows", model.name)
    try:
        done = subprocess.run(
            command,
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_longest().total_seconds(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotCounted("its rows were not counted in time") from None
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines() or [""]
    if done.returncode or not lines[-1]:
        _, refused, why = lines[-1].rpartition("CommandError: ")
        if not refused:
            logger.error("the rows of %s were not counted: %s", model, without_secrets(done.stderr))
        raise NotCounted(why if refused else "its rows could not be counted; the log says more")
    return SourceState(**json.loads(lines[-1]))
