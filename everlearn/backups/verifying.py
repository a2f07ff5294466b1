"""Whether an opened backup is whole, and what is in it; each refusal has a name."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.utils.crypto import constant_time_compare, salted_hmac

from everlearn.backups.dumps import Dump, sqlite_damage
from models_app import signing_keys

FORMAT = 1
MANIFEST = "manifest.json"
# Of the manifest, which holds the SHA-256 of every other file.
SIGNATURE = "signature"
DATABASE, STORAGE, ARTIFACTS = "database", "storage", "mlartifacts"
MLFLOW_FILE, KEY_FILE = "mlflow.db", "secret_key"
# Backups of before bundles were signed have none.
BUNDLE_KEYS = signing_keys.FILE

COUNTED = {
    "predictions": "models_app_prediction",
    "feedback": "feedback_app_feedback",
    "versions": "models_app_modelversion",
    "snapshots": "models_app_trainingsnapshot",
    "deployments": "models_app_deployment",
    "runs": "feedback_app_retrainingrun",
}


def signature(manifest: bytes) -> str:
    """The HMAC-SHA-256 of a manifest, in hexadecimal, under a key made from the secret key."""
    return salted_hmac("everlearn.backup", manifest, algorithm="sha256").hexdigest()


def is_signed_here(folder: Path) -> bool:
    """Whether an opened backup was made by an installation that has this one's secret key."""
    path = folder / SIGNATURE
    given = path.read_bytes()[:100] if path.is_file() else b""
    return constant_time_compare(given, signature((folder / MANIFEST).read_bytes()))


class BackupRefused(Exception):
    """A backup was not made, does not hold what it must, or may not be restored here.

    code: the name of the reason.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Serving:
    """What one model serves, as the database in a backup says."""

    version: int
    generation: int
    bundle: str


def summary(dump: Dump) -> dict[str, Any]:
    """What the manifest says of a database: counts, ledger heads, champions."""
    return {
        "vendor": dump.vendor,
        "counts": {name: dump.count(table) for name, table in COUNTED.items()},
        "serving": {
            name: {"version": one.version, "generation": one.generation, "bundle": one.bundle}
            for name, one in champions(dump).items()
        },
    }


def champions(dump: Dump) -> dict[str, Serving]:
    """What every model serves, by its name."""
    versions = {
        pk: (number, bundle)
        for pk, number, bundle in dump.rows(
            "models_app_modelversion", "id", "number", "bundle_digest"
        )
    }
    models = dump.rows("models_app_registeredmodel", "name", "champion_id", "generation")
    return {
        name: Serving(int(versions[champion][0]), int(generation), versions[champion][1])
        for name, champion, generation in models
        if champion is not None
    }


def verify(folder: Path, *, trust: bool = True) -> Mapping[str, Any]:
    """The manifest of the backup opened in `folder`. Raises BackupRefused.

    trust: take one that another installation signed, or none. Otherwise no database in it is
    opened before the signature is found to be ours.
    """
    manifest = _manifest(folder)
    _verify_members(folder, manifest["members"])
    if not trust and not is_signed_here(folder):
        raise BackupRefused(
            "signature_unknown",
            "it was not signed with this installation's secret key. A backup from elsewhere "
            "brings its own users, models and keys. If you made it, set EVERLEARN_SECRET_KEY to "
            "the key of the installation that made it, or add --trust",
        )
    for name in (KEY_FILE, f"{DATABASE}/"):
        if not any(member.startswith(name) for member in manifest["members"]):
            code = "keys_missing" if name == KEY_FILE else "database_missing"
            raise BackupRefused(code, f"there is no {name} in it, without which nothing goes on")
    _verify_databases(folder, manifest)
    dump = Dump(folder / DATABASE)
    _verify_ledger(dump)
    for name, one in champions(dump).items():
        _verify_bundle(folder / STORAGE / "bundles" / one.bundle, one.bundle, name)
    if (found := summary(dump)) != manifest["database"]:
        raise BackupRefused("counts_differ", f"it holds {found}, not {manifest['database']}")
    return manifest


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise BackupRefused("manifest_missing", "there is no manifest.json: cut off, or no backup")
    try:
        manifest: dict[str, Any] = json.loads(path.read_bytes())
    except ValueError as error:
        raise BackupRefused("manifest_damaged", str(error)) from error
    if manifest.get("format") != FORMAT:
        detail = f"it has format {manifest.get('format')}, {FORMAT} is read here"
        raise BackupRefused("unknown_format", detail)
    return manifest


def _verify_members(folder: Path, members: Mapping[str, Mapping[str, Any]]) -> None:
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for name in sorted(there - {MANIFEST, SIGNATURE} - set(members)):
        raise BackupRefused("member_unknown", f"the manifest does not name {name}")
    for name, said in members.items():
        if name not in there:
            code = "keys_missing" if name == KEY_FILE else "member_missing"
            raise BackupRefused(code, f"{name} is not in it")
        if sha256(folder / name) != said["sha256"]:
            raise BackupRefused("member_damaged", f"{name} is not what was backed up")


def _verify_databases(folder: Path, manifest: Mapping[str, Any]) -> None:
    if damage := Dump(folder / DATABASE).damage():
        raise BackupRefused("database_damaged", damage)
    if not manifest["mlflow"]["embedded"]:
        return
    if not (folder / MLFLOW_FILE).is_file():
        raise BackupRefused("mlflow_missing", f"there is no {MLFLOW_FILE} in it")
    if damage := sqlite_damage(folder / MLFLOW_FILE):
        raise BackupRefused("mlflow_damaged", damage)


def _verify_ledger(dump: Dump) -> None:
    """Every model's generations are 1, 2, 3 … up to the one that serves."""
    lines: dict[str, list[int]] = defaultdict(list)
    for model, generation in dump.rows(
        "models_app_deployment", "registered_model_id", "generation"
    ):
        lines[model].append(int(generation))
    models = dump.rows("models_app_registeredmodel", "id", "name", "generation")
    for pk, name, generation in models:
        if sorted(lines[pk]) != list(range(1, int(generation) + 1)):
            detail = f"the ledger of {name} does not lead without a gap to {generation}"
            raise BackupRefused("ledger_gap", detail)


def _verify_bundle(place: Path, digest: str, name: str) -> None:
    manifest = place / MANIFEST
    if not manifest.is_file():
        raise BackupRefused("bundle_missing", f"what {name} serves, {digest[:12]}, is not in it")
    files = {MANIFEST: digest, **json.loads(manifest.read_bytes())["files"]}
    for file, sha in files.items():
        path = place / Path(file).name
        if not path.is_file() or sha256(path) != sha:
            detail = f"{file} of what {name} serves, {digest[:12]}, is not what was verified"
            raise BackupRefused("bundle_hash_mismatch", detail)


def sha256(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
