"""What training gave, kept in storage until MLflow has registered it: nothing is trained twice.

Kept are JSON and the folder that MLflow will get; no estimator is ever read back from here.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from django.core.files.storage import default_storage

from models_app.atomic_storage import store

ROOM = "learnt"
FOLDER, REPORT = "folder.zip", "learnt.json"


@dataclass(frozen=True, slots=True)
class Learnt:
    """All that registering a version needs. folder: the zip of `registry.pack`."""

    recipe: str
    code_revision: str
    features: list[Any]
    classes: list[str]
    bundle_digest: str
    runtime: str
    snapshot_digest: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    folder: bytes = b""


def keep(key: str, learnt: Learnt) -> None:
    """Keep what was learnt under `key`, until `forget`."""
    report = asdict(replace(learnt, folder=b""))
    report["folder"] = hashlib.sha256(learnt.folder).hexdigest()
    store(_name(key, FOLDER), learnt.folder)
    # Last: what has no report was not kept whole.
    store(_name(key, REPORT), json.dumps(report).encode())


def kept(key: str, *, snapshot_digest: str, recipe: str) -> Learnt | None:
    """What was kept under `key`, if it was learnt from these rows in this way."""
    try:
        with default_storage.open(_name(key, REPORT)) as file:
            report = json.load(file)
        with default_storage.open(_name(key, FOLDER)) as file:
            folder = file.read()
    except FileNotFoundError:
        return None
    expected = [hashlib.sha256(folder).hexdigest(), snapshot_digest, recipe]
    if [report["folder"], report["snapshot_digest"], report["recipe"]] != expected:
        return None
    return Learnt(**{**report, "folder": folder})


def forget(key: str) -> None:
    """Remove what was kept under `key`, if anything was."""
    # The report first: without it, the rest counts for nothing.
    default_storage.delete(_name(key, REPORT))
    for name in _listed(f"{ROOM}/{key}")[1]:
        default_storage.delete(_name(key, name))
    with suppress(OSError):  # somebody is keeping anew
        default_storage.delete(f"{ROOM}/{key}")


def kept_keys() -> set[str]:
    """Under which keys something is kept."""
    return set(_listed(ROOM)[0])


def _listed(folder: str) -> tuple[list[str], list[str]]:
    try:
        return default_storage.listdir(folder)
    except FileNotFoundError:
        return [], []


def _name(key: str, name: str) -> str:
    return f"{ROOM}/{key}/{name}"
