"""Fetch and verify the bundle of a version from elsewhere; carried out in a limited child process.

See `importing`, which starts it. Nothing of a bundle is read before its signature was verified.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from models_app import bundles, registry, signing
from models_app.bundles import Bundle
from models_app.importing import Request
from models_app.learning.schema import Schema
from models_app.refusals import BundleRefused, Refused

logger = logging.getLogger(__name__)

MOST_MANIFEST = 2**20
MOST_CLASSES, LONGEST_CLASS = 10_000, 255


def answer(request: Request) -> dict[str, Any]:
    """What the version's row is to hold, or why there is none, as JSON for the parent.

    One of the members is there: `row`, `refused` (for good) or `passing` (worth another try).
    """
    try:
        bundle = _verified(request)
    except Refused as refusal:
        passing = refusal.code == "bundle_unavailable"
        return {"passing" if passing else "refused": f"{refusal.code}: {refusal.detail}"}
    except registry.RegistryRefused as refusal:
        return {"refused": f"bundle_unavailable: {refusal}"}
    except registry.RegistryAway as away:
        return {"passing": f"registry_away: {away}"}
    except Exception as error:
        # Whatever a file makes its reader raise costs this version a reason, and no more.
        logger.exception("%s cannot be verified", request.digest)
        return {"refused": f"bundle_refused: it cannot be verified: {error!r}"}
    return {
        "row": {
            "features": bundle.schema.to_json(),
            "classes": list(bundle.classes),
            "runtime": bundle.runtime_name,
        }
    }


def _verified(request: Request) -> Bundle:
    if not request.stored:
        _adopt(request)
    bundle = bundles.load(request.digest)
    if (bundle.name, bundle.task) != (request.name, request.task):
        raise BundleRefused(
            f"it is a bundle of {bundle.name} ({bundle.task}), not of {request.name} "
            f"({request.task})"
        )
    refuse_other_features(Schema.from_json(request.features), bundle.schema)
    _refuse_odd_classes(bundle)
    if not all(len(column) for column in bundle.background.values()):
        raise BundleRefused("it has no smoke rows", code="smoke_failed")
    return bundle


def _adopt(request: Request) -> None:
    """Store the bundle that MLflow keeps, signed by us, once its own signature was verified."""
    if not request.vouched:
        bundles.refuse_unsigned(request.digest, _signature(request.source))
    left = request.most
    manifest = _fetch(request.source, bundles.MANIFEST, min(left, MOST_MANIFEST))
    files: dict[str, bytes] = {}
    for name in bundles.files_named_by(manifest, request.digest):
        files[name] = _fetch(request.source, name, left)
        left -= len(files[name])
    if bundles.write(files, json.loads(manifest)) != request.digest:
        raise BundleRefused(
            "its files are not those that its manifest names", code="bundle_hash_mismatch"
        )


def _signature(source: str) -> bytes:
    try:
        return _fetch(source, bundles.SIGNATURE, signing.LONGEST)
    except registry.RegistryRefused:  # none, or one that is too long
        return b""


def _fetch(source: str, name: str, most: int) -> bytes:
    return registry.fetch(source, f"{bundles.FOLDER}/{name}", most=most)


def refuse_other_features(declared: Schema, given: Schema) -> None:
    """Raise BundleRefused, naming each difference, unless a bundle asks for what is declared.

    The categories are each version's own, and the order does not matter.
    """
    wanted = {one.name: (one.kind, one.required) for one in declared.features}
    found = {one.name: (one.kind, one.required) for one in given.features}
    if wanted != found:
        raise BundleRefused(
            f"its features are not the declared ones: {'; '.join(_differences(wanted, found))}"[
                :400
            ],
            code="features_differ",
        )


def _differences(
    wanted: Mapping[str, tuple[str, bool]], found: Mapping[str, tuple[str, bool]]
) -> list[str]:
    missing = [f"{name!r:.80} is missing" for name in wanted if name not in found]
    new = [f"{name!r:.80} is not declared" for name in found if name not in wanted]
    other = [
        f"{name!r:.80} is {_described(*found[name])}, declared as {_described(*wanted[name])}"
        for name in wanted
        if name in found and wanted[name] != found[name]
    ]
    return [*missing, *new, *other]


def _described(kind: str, required: bool) -> str:
    return f"{'required' if required else 'optional'} {kind}"


def _refuse_odd_classes(bundle: Bundle) -> None:
    classes = bundle.classes
    if bundle.task == "regression":
        fault = "a regression has classes" if classes else ""
    elif len(classes) < 2 or len(classes) > MOST_CLASSES:
        fault = f"a classification has {len(classes)} classes"
    elif len(set(classes)) < len(classes):
        fault = "a class is named twice"
    elif any(str(one) != one or len(one) > LONGEST_CLASS for one in classes):
        fault = f"a class is no text of up to {LONGEST_CLASS} characters"
    else:
        fault = ""
    if fault:
        raise BundleRefused(fault)
