"""Versions that were registered in MLflow from outside: what they hold, unless it is a bundle.

A version that EverLearn itself registered elsewhere (in CI, say) has its bundle in its folder.
Those few files are fetched by the names that a bundle may have, verified like any, and then
serve. Whatever else somebody registers is neither fetched nor read: MLflow's own way of loading
runs code that the version brings along.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Any

from models_app import bundles, registry
from models_app.bundles import Bundle
from models_app.models import RegisteredModel
from models_app.promotion import UNTRUSTED
from models_app.refusals import BundleRefused
from models_app.remote import RemoteVersion

logger = logging.getLogger(__name__)

OUTSIDE = f"{UNTRUSTED}: registered outside EverLearn, no bundle"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SOURCE = re.compile(r"models:/m-[0-9a-f]+")


def describe(model: RegisteredModel, found: RemoteVersion) -> dict[str, Any]:
    """The row of a version that is new here, its bundle stored if it has one that is sound.

    Raises RegistryAway.
    """
    row = {"mlflow_run_id": found.mlflow_run_id, "recipe": "", "unservable_because": OUTSIDE}
    digest = found.tags.get("everlearn.bundle_digest", "")
    if not _DIGEST.fullmatch(digest) or not hosted(found.source):
        return row
    if model.versions.exclude(mlflow_run_id="").filter(mlflow_run_id=found.mlflow_run_id).exists():
        return row | {"unservable_because": "duplicate: another version is of the same MLflow run"}
    try:
        bundle = _adopt(model, found.source, digest)
    except (BundleRefused, registry.RegistryRefused) as refusal:
        code = getattr(refusal, "code", "bundle_unavailable")
        logger.warning("%s version %s: %s: %s", model, found.number, code, refusal)
        return row | {"unservable_because": f"{code}: {refusal}"[:500]}
    return row | {
        "unservable_because": "",
        "recipe": found.tags.get("everlearn.recipe", "")[:64],
        "code_revision": found.tags.get("everlearn.code_revision", "")[:64],
        "features": bundle.schema.to_json(),
        "classes": list(bundle.classes),
        "runtime": bundle.runtime_name,
        "bundle_digest": digest,
    }


def hosted(source: str) -> bool:
    """Whether MLflow itself made the folder; never a path or an address of somebody's choice."""
    return _SOURCE.fullmatch(source) is not None


def _adopt(model: RegisteredModel, source: str, digest: str) -> Bundle:
    manifest = _fetch(source, bundles.MANIFEST)
    names = bundles.files_named_by(manifest, digest)
    files = {name: _fetch(source, name) for name in names}
    if bundles.write(files, json.loads(manifest)) != digest:
        raise BundleRefused(
            "its files are not those that its manifest names", code="bundle_hash_mismatch"
        )
    bundle = bundles.load(digest)
    if (bundle.name, bundle.task) != (model.name, model.task):
        raise BundleRefused(
            f"it is a bundle of {bundle.name} ({bundle.task}), not of {model.name} ({model.task})"
        )
    return bundle


def _fetch(source: str, name: str) -> bytes:
    return registry.fetch(source, f"{bundles.FOLDER}/{name}")
