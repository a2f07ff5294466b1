"""Versions that are tried before they serve, or after: loaded when asked for, and kept a little."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import lru_cache

from models_app import bundles
from models_app.bundles import Bundle
from models_app.following import Served
from models_app.models import ModelVersion
from models_app.refusals import NotFound, NotServable

# Whoever compares two versions asks them in turns.
KEPT_LOADED = 3

_loading = threading.Lock()


def of_version(served: Served, number: int) -> Served:
    """The model as it would be if that version served. Raises NotFound or NotServable."""
    version = (
        ModelVersion.objects.select_related("registered_model")
        .filter(registered_model_id=served.model_id, number=number)
        .first()
    )
    if version is None:
        raise NotFound(f"{served.name} has no version {number}.")
    if served.bundle is not None and served.bundle.digest == version.bundle_digest:
        bundle = served.bundle
    else:
        bundle = _bundle_of(version)
    return replace(served, version_id=version.pk, number=number, bundle=bundle)


def as_served(version: ModelVersion, *, generation: int) -> Served:
    """A version as it served in that generation. Raises NotServable."""
    model = version.registered_model
    return Served(
        model_id=model.pk,
        name=model.name,
        target=model.target,
        public=model.public,
        is_default=model.is_default,
        generation=generation,
        version_id=version.pk,
        number=version.number,
        bundle=_bundle_of(version),
    )


def _bundle_of(version: ModelVersion) -> Bundle:
    if not version.servable:
        why = version.unservable_because or "it has no bundle"
        raise NotServable(f"{version} cannot be asked: {why}.")
    # In turns, so that ten who ask at once do not load it ten times.
    with _loading:
        return _bundle(version.bundle_digest)


@lru_cache(maxsize=KEPT_LOADED)
def _bundle(digest: str) -> Bundle:
    return bundles.load(digest)
