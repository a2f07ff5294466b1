"""Versions that were registered in MLflow from outside: what they hold, unless it is a bundle.

A version that EverLearn itself registered elsewhere (in CI, say) has its bundle in its folder,
signed with a key that both know. Those few files are fetched by the names that a bundle may have
and verified in a child process with limits, and then serve. Whatever else somebody registers is
neither fetched nor read: MLflow's own way of loading runs code that the version brings along.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from models_app import child_process
from models_app.child_process import MIB, Ended, Limits
from models_app.models import ModelVersion, RegisteredModel
from models_app.promotion import UNTRUSTED
from models_app.remote import RemoteVersion

logger = logging.getLogger(__name__)

OUTSIDE = f"{UNTRUSTED}: registered outside EverLearn, no bundle"
LONGEST_REASON = 500
COMMAND = (sys.executable, "manage.py", "verify_version")
# What the files of one bundle may have together.
MOST_BYTES = 512 * MIB
# Wall time, of which importing MLflow on a busy machine is most, and processor time.
SECONDS, CPU_SECONDS = 90.0, 60
MEMORY, RESERVED = 2048 * MIB, 4096 * MIB
# A version that failed for a passing reason is tried again after 10 s, 20 s, 40 s and so on.
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=10), timedelta(minutes=10)
# One whose child was lost may be at fault itself.
MOST_LOSSES = 3
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SOURCE = re.compile(r"models:/m-[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Request:
    """What a child is asked for.

    name, task, features: the registered model as declared. source: where MLflow keeps the
    version. most: bytes that the files of the bundle may have together. vouched: a superuser
    answers for the digest, so that a signature of ours is not asked for. stored: the bundle is
    in our storage, and MLflow is not asked.
    """

    name: str
    task: str
    features: list[Any]
    source: str
    digest: str
    most: int
    vouched: bool = False
    stored: bool = False


def describe(
    model: RegisteredModel, found: RemoteVersion, *, tried: int = 0, vouched: bool = False
) -> dict[str, Any]:
    """The row of a version from elsewhere, its bundle stored if it has one that is sound.

    tried: how often it failed for a passing reason. vouched: a superuser answers for its digest.
    Where another try may help, `verify_again_at` says when.
    """
    row = {"mlflow_run_id": found.mlflow_run_id, "recipe": "", "unservable_because": OUTSIDE}
    digest = found.tags.get("everlearn.bundle_digest", "")
    if not _DIGEST.fullmatch(digest) or not hosted(found.source):
        return row
    others = model.versions.exclude(mlflow_run_id="").exclude(number=found.number)
    if others.filter(mlflow_run_id=found.mlflow_run_id).exists():
        return row | {"unservable_because": "duplicate: another version is of the same MLflow run"}
    told = verify(_request(model, found.source, digest, vouched=vouched), tried=tried)
    if "row" not in told:
        why = told["unservable_because"]
        logger.warning("%s version %s: %s", model, found.number, why)
        return row | told
    return row | {
        "unservable_because": "",
        "verify_again_at": None,
        "recipe": found.tags.get("everlearn.recipe", "")[:64],
        "code_revision": found.tags.get("everlearn.code_revision", "")[:64],
        "bundle_digest": digest,
        **told["row"],
    }


def verify(request: Request, *, tried: int = 0) -> dict[str, Any]:
    """Have a child verify a bundle: `row` for a sound one, else columns that say why not."""
    ended = child_process.carry_out(
        COMMAND,
        given=json.dumps(asdict(request)).encode(),
        seconds=SECONDS,
        limits=_limits(),
        environ={
            "EVERLEARN_HOME": str(settings.EVERLEARN_HOME),
            "MLFLOW_TRACKING_URI": settings.MLFLOW_TRACKING_URI,
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        },
    )
    told = _told(ended)
    if "row" in told:
        return told
    if "refused" in told:
        return {"unservable_because": told["refused"][:LONGEST_REASON], "verify_again_at": None}
    if "lost" in told and tried + 1 >= MOST_LOSSES:
        return {"unservable_because": told["lost"][:LONGEST_REASON], "verify_again_at": None}
    pause = min(FIRST_PAUSE * 2 ** min(tried, 10), LONGEST_PAUSE)
    why = told.get("passing") or told["lost"]
    return {
        "unservable_because": f"{why[: LONGEST_REASON - 40]}; it is tried again",
        "verify_again_at": timezone.now() + pause,
        "verify_attempts": tried + 1,
    }


def _told(ended: Ended) -> dict[str, Any]:
    if ended.returncode == 0:
        try:
            told: dict[str, Any] = json.loads(ended.output.splitlines()[-1])
        except (ValueError, IndexError) as error:
            return {"lost": f"verification_failed: the child said nothing of use: {error}"}
        return told
    why = f"verification_failed: the process that verified it ended: {ended.cause}"
    logger.warning("%s: %s", why, ended.errors)
    # A machine that is busy, or lacks memory, is no fault of the version's; a crash is.
    lost = ended.returncode is None or ended.returncode == -9
    return {"lost" if lost else "refused": why}


def _limits() -> Limits:
    memory = min(MEMORY, settings.EVERLEARN_RUN_MEMORY * MIB)
    return Limits(
        cpu=CPU_SECONDS,
        memory=memory,
        address_space=memory + RESERVED,
        file_size=MOST_BYTES + 64 * MIB,
    )


def stored_request(version: ModelVersion) -> Request:
    """What to ask of a child about a bundle that is in our storage."""
    return _request(version.registered_model, "", version.bundle_digest, stored=True)


def _request(model: RegisteredModel, source: str, digest: str, **how: bool) -> Request:
    return Request(
        name=model.name,
        task=model.task,
        features=model.features,
        source=source,
        digest=digest,
        most=MOST_BYTES,
        **how,
    )


def hosted(source: str) -> bool:
    """Whether MLflow itself made the folder; never a path or an address of somebody's choice."""
    return _SOURCE.fullmatch(source) is not None
