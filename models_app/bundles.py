"""Bundles: the verified, content-addressed form in which a version serves.

A bundle is some files in Django's default storage under `bundles/<digest>/`: what answers
(an ONNX graph or an estimator), smoke rows with the answers expected, and a manifest that
holds the SHA-256 of each. The digest is that of the manifest, so it names every byte. Only
files that the manifest names are ever opened, and none before its signature was verified.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import numpy as np
from django.conf import settings
from django.core.files.storage import default_storage
from django.utils.module_loading import import_string

from models_app import atomic_storage, signing
from models_app.learning.agreement import WIDEST, difference
from models_app.learning.answers import Answers
from models_app.learning.background import background_rows
from models_app.learning.kinds import Columns
from models_app.learning.schema import Schema
from models_app.refusals import BundleRefused

logger = logging.getLogger(__name__)

# Graphs of the format before took numbers in float32, and its manifests had no tolerance.
FORMAT, FORMAT_BEFORE = 2, 1
ROOM = "bundles"
MANIFEST = "manifest.json"
# Beside the manifest and never part of the digest, as keys change and bundles do not.
SIGNATURE = "manifest.sig"
SMOKE = "smoke.json"
# Where MLflow keeps a bundle, within the folder of the version.
FOLDER = "everlearn"
FILES = frozenset({"model.onnx", "estimator.skops", SMOKE})
OLD_PART_OF_SIZE = 1e-3
# A bundle made before bundles held background rows has training rows as the first smoke rows.
OLD_BACKGROUND_ROWS = 10
MOST_BACKGROUND_ROWS = 10
KEPT_ON_DISK = 30

# By name, so that a process without any fallen-back version never imports scikit-learn.
RUNTIMES = {
    "onnx": "models_app.runtimes.onnx.OnnxRuntime",
    "estimator": "models_app.runtimes.estimator.EstimatorRuntime",
}


class Runtime(Protocol):
    """What answers encoded rows."""

    def answer(self, columns: Columns, *, within: float | None = None) -> Answers: ...


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle, ready to answer.

    spread: the standard deviation of a regression's answers to its training rows; 0 where it is
    not known.
    """

    digest: str
    name: str
    schema: Schema
    task: str
    classes: tuple[str, ...]
    runtime_name: str
    runtime: Runtime
    background: Columns = field(default_factory=dict)
    spread: float = 0.0

    def answer(self, columns: Columns, *, within: float | None = None) -> Answers:
        """Answer n encoded rows. Raises ModelTooSlow after `within` seconds, if given."""
        return self.runtime.answer(columns, within=within)


def write(files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> str:
    """Store and sign a bundle and return its digest; storing the same one again changes nothing."""
    hashes = {name: _sha256(content) for name, content in files.items()}
    complete = {"format": FORMAT, **manifest, "files": hashes}
    content = json.dumps(complete, sort_keys=True, ensure_ascii=False).encode()
    digest = _sha256(content)
    # The manifest comes last: a bundle without one is an upload that somebody interrupted.
    for name, part in {**files, SIGNATURE: signing.sign(digest), MANIFEST: content}.items():
        atomic_storage.store(_stored(digest, name), part)
    return digest


def load(digest: str) -> Bundle:
    """Fetch, verify and open a bundle. Raises BundleRefused, its code saying what is wrong."""
    _refuse_unsigned(digest)
    content = _fetch(digest, MANIFEST, digest)
    try:
        manifest = json.loads(content)
        files = {name: _fetch(digest, name, sha) for name, sha in manifest["files"].items()}
        smoke = json.loads(files[SMOKE])
        bundle = _open(digest, manifest, files)
        _refuse_other_answers(bundle, smoke, _allowed(manifest, smoke))
        bundle = replace(bundle, background=_background(bundle.schema, manifest, smoke))
    except BundleRefused:
        raise
    except Exception as error:
        # Whatever a file makes its reader raise, this process goes on with what it has.
        logger.exception("bundle %s cannot be opened", digest)
        raise BundleRefused(f"bundle {digest[:12]} cannot be opened: {error!r}") from error
    return bundle


def stored_files(digest: str) -> dict[str, bytes]:
    """Every file of a bundle by its name in storage, verified there and not in this cache.

    Raises BundleRefused, its code saying what is wrong.
    """
    refuse_unsigned(digest, stored_signature(digest))
    content = _read_stored(digest, MANIFEST, digest)
    named = json.loads(content)["files"]
    files = {name: _read_stored(digest, name, sha) for name, sha in named.items()}
    return {_stored(digest, name): part for name, part in {**files, MANIFEST: content}.items()}


def files_of(digest: str) -> dict[str, bytes]:
    """The verified bytes of all its files, manifest and signature too. Raises BundleRefused."""
    _refuse_unsigned(digest)
    content = _fetch(digest, MANIFEST, digest)
    named = json.loads(content)["files"]
    files = {name: _fetch(digest, name, sha) for name, sha in named.items()}
    return {**files, SIGNATURE: signing.sign(digest), MANIFEST: content}


def refuse_unsigned(digest: str, signature: bytes) -> None:
    """Raise BundleRefused unless `signature` is one of that bundle, made with one of our keys."""
    if not signing.is_valid(digest, signature):
        what = "its signature was made with another key" if signature else "it has no signature"
        raise BundleRefused(
            f"bundle {digest[:12]}: {what}; give its trainer our EVERLEARN_BUNDLE_KEY, or have a "
            "superuser run manage.py sign_bundle",
            code=signing.CODE,
        )


def stored_signature(digest: str) -> bytes:
    """What storage has as the signature of a bundle; b"" for nothing. Raises BundleRefused."""
    path = _stored(digest, SIGNATURE)
    try:
        with default_storage.open(path) as file:
            content: bytes = file.read(signing.LONGEST + 1)
    except FileNotFoundError:
        return b""
    except Exception as error:  # each storage has errors of its own
        raise BundleRefused(f"{path} cannot be read: {error}", code="bundle_unavailable") from error
    return content


def sign_stored(digest: str) -> bool:
    """Sign a stored bundle with the present key; False where it is not stored.

    Whoever calls it has made sure that this digest may serve.
    """
    if not default_storage.exists(_stored(digest, MANIFEST)):
        return False
    put_signature(digest, signing.sign(digest))
    return True


def put_signature(digest: str, signature: bytes) -> None:
    """Have storage hold that signature of a bundle; none for b""."""
    if signature:
        atomic_storage.replace(_stored(digest, SIGNATURE), signature)
    else:
        default_storage.delete(_stored(digest, SIGNATURE))


def files_named_by(manifest: bytes, digest: str) -> list[str]:
    """The files beside a manifest of that digest. Raises BundleRefused."""
    if _sha256(manifest) != digest:
        raise BundleRefused(
            f"its manifest has the SHA-256 {_sha256(manifest)[:12]}…, not {digest[:12]}…",
            code="bundle_hash_mismatch",
        )
    try:
        names = set(json.loads(manifest)["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise BundleRefused(f"its manifest makes no sense: {error!r}") from error
    if not names <= FILES:
        raise BundleRefused(f"no bundle holds {', '.join(sorted(names - FILES))[:100]}")
    return sorted(names)


def _open(digest: str, manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> Bundle:
    if manifest["format"] not in (FORMAT, FORMAT_BEFORE):
        raise BundleRefused(
            f"bundle {digest[:12]} has format {manifest['format']}, {FORMAT} is read here",
            code="environment_mismatch",
        )
    runtime = import_string(RUNTIMES[manifest["runtime"]])
    return Bundle(
        digest=digest,
        name=manifest["name"],
        schema=Schema.from_json(manifest["features"]),
        task=manifest["task"],
        classes=tuple(manifest["classes"]),
        runtime_name=manifest["runtime"],
        runtime=runtime.load(files, manifest),
        spread=float(manifest.get("spread", 0.0)),
    )


def smoke_of(bundle_answers: Answers, instances: list[dict[str, Any]]) -> bytes:
    """The smoke file: instances, and the answers that loading must reproduce."""
    probabilities = bundle_answers.probabilities
    expected = {
        "instances": instances,
        "values": bundle_answers.values.tolist(),
        "probabilities": None if probabilities is None else probabilities.tolist(),
    }
    return json.dumps(expected, ensure_ascii=False).encode()


def _refuse_other_answers(bundle: Bundle, smoke: Mapping[str, Any], allowed: float) -> None:
    probabilities = smoke["probabilities"]
    dtype = object if bundle.classes else np.float64
    expected = Answers(
        np.array(smoke["values"], dtype=dtype),
        None if probabilities is None else np.array(probabilities),
        bundle.classes,
    )
    bundle.schema.check(smoke["instances"])
    given = bundle.answer(bundle.schema.columns(smoke["instances"]))
    # NaN, which compares as false, must not pass.
    if not (apart := difference(expected, given)) <= allowed:
        raise BundleRefused(
            f"bundle {bundle.digest[:12]} answers its smoke rows otherwise than when it was "
            f"made (off by {apart:.2g}, {allowed:.2g} is allowed)",
            code="smoke_failed",
        )


def _allowed(manifest: Mapping[str, Any], smoke: Mapping[str, Any]) -> float:
    """How far the answers to its smoke rows may be from those that it was made with."""
    if manifest["format"] == FORMAT:
        return float(manifest["tolerance"])
    if manifest["classes"]:
        return WIDEST
    # Its graph answers in float32, however large the numbers are.
    values = np.array(smoke["values"], dtype=np.float64)
    spread = max(float(np.std(values)), float(np.abs(values).max()) * OLD_PART_OF_SIZE)
    return WIDEST * (spread or 1.0)


def _refuse_unsigned(digest: str) -> None:
    kept = _cached(digest) / SIGNATURE
    if signing.is_valid(digest, _begin_of(kept)):
        return
    signature = stored_signature(digest)
    if not signing.is_valid(digest, signature):
        # A rotation may have ended between the reading of the signature and that of the keys.
        signature = stored_signature(digest)
    if not signature:
        _refuse_missing(digest)
    refuse_unsigned(digest, signature)
    _keep(kept, signature)


def _refuse_missing(digest: str) -> None:
    path = _stored(digest, MANIFEST)
    try:
        there = default_storage.exists(path)
    except Exception as error:  # each storage has errors of its own
        raise BundleRefused(f"{path} cannot be read: {error}", code="bundle_unavailable") from error
    if not there:
        raise BundleRefused(f"there is no {path}", code="bundle_unavailable")


def _begin_of(kept: Path) -> bytes:
    """As much of a cached file as a signature may have; b"" for what is no file."""
    try:
        if not kept.is_file():
            return b""
        with kept.open("rb") as file:
            return file.read(signing.LONGEST + 1)
    except OSError:
        return b""


def _background(schema: Schema, manifest: Mapping[str, Any], smoke: Mapping[str, Any]) -> Columns:
    """The encoded rows that an explanation compares with; none is a row of the training data."""
    if (rows := manifest.get("background")) is None:
        rows = background_rows(schema, smoke["instances"][:OLD_BACKGROUND_ROWS])
    if not 0 < len(rows) <= MOST_BACKGROUND_ROWS:
        raise BundleRefused(f"its manifest has {len(rows)} background rows")
    schema.check(rows)
    return schema.columns(rows)


def _fetch(digest: str, name: str, sha: str) -> bytes:
    """A file's verified bytes: from this machine, or else once from storage and then kept."""
    kept = _cached(digest) / Path(name).name
    if kept.is_file() and _sha256(cached := kept.read_bytes()) == sha:
        return cached
    content = _read_stored(digest, name, sha)
    _keep(kept, content)
    return content


def _read_stored(digest: str, name: str, sha: str) -> bytes:
    path = _stored(digest, name)
    try:
        with default_storage.open(path) as file:
            content: bytes = file.read()
    except Exception as error:  # each storage has errors of its own
        raise BundleRefused(f"{path} cannot be read: {error}", code="bundle_unavailable") from error
    if _sha256(content) != sha:
        raise BundleRefused(
            f"{path} is not what was stored: its SHA-256 is {_sha256(content)[:12]}…, "
            f"{sha[:12]}… is expected",
            code="bundle_hash_mismatch",
        )
    return content


def _keep(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{uuid4().hex}")
        partial.write_bytes(content)
        partial.replace(path)
        newest = sorted(path.parent.parent.iterdir(), key=lambda kept: kept.stat().st_mtime)
        for old in newest[:-KEPT_ON_DISK]:
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        # A full disk must not keep a good bundle, already in memory, from serving.
        logger.warning("bundle file not cached: %s", error)


def _cached(digest: str) -> Path:
    return Path(settings.EVERLEARN_HOME) / "cache" / "bundles" / digest


def _stored(digest: str, name: str) -> str:
    return f"{ROOM}/{digest}/{name}"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
