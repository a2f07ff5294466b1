"""Versions that were trained elsewhere: whose run each is, and what it learnt from.

Each that can serve gets a run, so that the gate has judged whatever may be promoted: the run that
was handed over for it, or one of its own.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from io import BytesIO
from math import isfinite

import pandas as pd
import pyarrow
import pyarrow.parquet
from django.db import DatabaseError
from django.db.models import Q, QuerySet

from feedback_app import handing_over, retraining
from feedback_app.models import AWAY, RetrainingRun
from feedback_app.registering import installation
from feedback_app.snapshots import keep_learnt_from
from feedback_app.training_rows import DIGEST, INSTANCE, ROLE
from models_app import importing, registry
from models_app.actors import system_user
from models_app.models import ModelVersion, RegisteredModel, TrainingSnapshot
from models_app.refusals import Refused
from models_app.registry import RegistryAway, RegistryRefused

logger = logging.getLogger(__name__)

# In MLflow's folder of a version, and how long it may be.
LEARNT_FROM = "everlearn/learnt_from.parquet"
LONGEST = 64 * 2**20
# Parquet packs its columns: what it may unpack to.
MOST_UNPACKED = 8 * LONGEST
# MLflow is asked about each; those that are left have their turn later.
AT_ONCE = 20
_SHA256 = re.compile(r"[0-9a-f]{64}")

Status = RetrainingRun.Status


def settle() -> None:
    """Give every version that came from elsewhere its run. Raises RegistryAway."""
    for model in RegisteredModel.objects.filter(retired_at=None):
        for version in _without_a_run(model):
            try:
                _settle(version)
            except (RegistryAway, DatabaseError):
                raise
            except Exception:
                # What others wrote into MLflow may be anything; the next version has its turn.
                logger.exception("%s was not given its run", version)


def _without_a_run(model: RegisteredModel) -> QuerySet[ModelVersion]:
    runs = RetrainingRun.objects.filter(registered_model=model)
    awaited = runs.filter(AWAY, status=Status.RUNNING).first()
    wanted = Q(unservable_because="")
    if awaited is not None:
        # A workflow's version that cannot serve has to end its run.
        wanted |= Q(created_at__gte=awaited.handed_over_at)
    return (
        model.versions.filter(
            wanted, gate__isnull=True, missing_in_registry=False, verify_again_at__isnull=True
        )
        .exclude(mlflow_run_id="")
        .exclude(pk__in=runs.filter(version__isnull=False).values("version"))
        .order_by("-number")[:AT_ONCE]
    )


def _settle(version: ModelVersion) -> None:
    run = _run_behind(version)
    if run is not None and run.version_id is None:
        if run.away:
            handing_over.take_back(run, version)
            return
        if run.active:
            return  # trained here: its worker is about to take the version itself
        if run.status == Status.CANCELLED:
            # What somebody did not want any more is judged for nobody.
            RetrainingRun.objects.filter(pk=run.pk).update(version=version)
            return
    if version.servable:
        retraining.request(
            version.registered_model,
            actor=system_user("everlearn"),
            trigger=RetrainingRun.Trigger.EXTERNAL,
            reason=f"Version {version.number} was registered in MLflow from elsewhere.",
            version=version,
        )


def _run_behind(version: ModelVersion) -> RetrainingRun | None:
    """The run of this installation that MLflow says made a version."""
    try:
        tags = registry.describe_run(version.mlflow_run_id).tags
    except RegistryRefused:  # it has forgotten the run
        return None
    number = tags.get("everlearn.run", "")
    if tags.get("everlearn.installation") != installation() or not number.isdecimal():
        return None
    runs = RetrainingRun.objects.filter(registered_model=version.registered_model)
    return runs.filter(pk=int(number)).first()


def describe(version: ModelVersion) -> None:
    """Note on a version from elsewhere what MLflow knows of its training. Raises RegistryAway."""
    try:
        remote = registry.describe_run(version.mlflow_run_id)
    except RegistryRefused:
        return
    version.metrics = {name: value for name, value in remote.metrics.items() if isfinite(value)}
    version.parameters = dict(remote.parameters)
    version.snapshot = _known_snapshot(version, remote.tags) or _told_snapshot(version, remote.tags)
    version.save(update_fields=["metrics", "parameters", "snapshot"])


def _known_snapshot(version: ModelVersion, tags: Mapping[str, str]) -> TrainingSnapshot | None:
    """The rows that it learnt from, if they were frozen here."""
    digest = tags.get("everlearn.snapshot_digest", "")
    return version.registered_model.snapshots.filter(digest=digest).first()


def _told_snapshot(version: ModelVersion, tags: Mapping[str, str]) -> TrainingSnapshot | None:
    """The digests of the rows that it learnt from, which it brought along from elsewhere."""
    digest = tags.get("everlearn.learnt_from_digest", "")
    if not _SHA256.fullmatch(digest):
        return None
    try:
        content = _fetched(version)
        if hashlib.sha256(content).hexdigest() != digest:
            raise ValueError("it is not the one that the run names")
        table = _read(content)
    except (RegistryRefused, Refused, ValueError, pyarrow.ArrowException) as refusal:
        logger.warning("%s: %s cannot be used: %s", version, LEARNT_FROM, refusal)
        return None
    return keep_learnt_from(version.registered_model, digest, table)


def _fetched(version: ModelVersion) -> bytes:
    source = registry.source_of(version.registered_model.name, version.number)
    if not importing.hosted(source):
        raise ValueError("its folder is not MLflow's own")
    return registry.fetch(source, LEARNT_FROM, most=LONGEST)


def _read(content: bytes) -> pd.DataFrame:
    file = pyarrow.parquet.ParquetFile(BytesIO(content))
    groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
    if sum(group.total_byte_size for group in groups) > MOST_UNPACKED:
        raise ValueError(f"it unpacks to more than {MOST_UNPACKED} bytes")
    table: pd.DataFrame = file.read().to_pandas()
    if sorted(table.columns) not in (sorted([ROLE, DIGEST]), sorted([ROLE, DIGEST, INSTANCE])):
        raise ValueError(f"its columns are {', '.join(map(str, table.columns))[:200]}")
    return table.astype("str")
