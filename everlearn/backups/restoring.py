"""Put a backup in the place of what EVERLEARN_HOME and the database hold.

All is extracted and verified before anything is touched. Then each part is exchanged by a
rename; a mark in the home keeps EverLearn from starting on a half that a kill left behind.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection, connections
from django.utils import timezone
from django_q.models import OrmQ, Schedule, Task

from everlearn.backups import dumps, storing
from everlearn.backups.archiving import OPENED, embedded_mlflow, opened
from everlearn.backups.verifying import (
    ARTIFACTS,
    BUNDLE_KEYS,
    DATABASE,
    KEY_FILE,
    MLFLOW_FILE,
    STORAGE,
    BackupRefused,
    is_signed_here,
)
from everlearn.configuration import new_secret_key
from everlearn.supervising import UNFINISHED_RESTORE, sole_instance
from feedback_app import erasing
from feedback_app.models import Erasure
from models_app.actors import system_user
from models_app.following import ALIVE_WITHIN
from models_app.models import RegisteredModel, WebProcess

# Where MLflow wrote down, as file:// addresses, in which home its artefacts are.
ARTIFACT_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
SQLITE_PARTS = ("", "-wal", "-shm")


def restore(backup: Path, *, force: bool, trust: bool = False) -> dict[str, Any]:
    """Have all be as it was when `backup` was made, and return its manifest.

    force: replace what is there. trust: take a backup that was not signed with this
    installation's secret key; its keys are replaced by new ones then, so that what was signed with
    them (sessions, links, messages of the queue) counts for nothing here, and its bundles are
    signed anew. Raises BackupRefused
    and Busy, and then nothing was touched.
    """
    home = settings.EVERLEARN_HOME
    with sole_instance(home, restoring=True):
        _refuse_live_processes()
        unfinished = home / UNFINISHED_RESTORE
        if not force and not unfinished.exists() and (found := _in_the_way()):
            raise BackupRefused("not_empty", f"{found}; add --force to replace what is there")
        for left in home.glob(f"{OPENED}*"):  # by one that was killed
            shutil.rmtree(left)
        with opened(backup, beside=home, trust=trust) as (folder, manifest):
            foreign = not is_signed_here(folder)
            if foreign:
                (folder / KEY_FILE).write_text(new_secret_key())
            _refuse_other_vendor(manifest)
            _keep_erasures(unfinished, since=manifest["made_at"])
            _put_in_place(folder, manifest)
            _empty_queue()
            if foreign:
                # The installation that made the backup has the key that signed its bundles.
                call_command("rotate_bundle_key", verbosity=0)
            _forget_again(unfinished)
            unfinished.unlink()
    return manifest


def _keep_erasures(unfinished: Path, *, since: str) -> None:
    """Mark the restore as begun, with whom the rows that go had forgotten."""
    known = set(unfinished.read_text().split()) if unfinished.exists() else set()
    with suppress(DatabaseError):
        later = Erasure.objects.filter(client="", at__gt=since)
        known |= set(later.values_list("subject_hash", flat=True))
    unfinished.write_text("\n".join(sorted(known)))


def _empty_queue() -> None:
    """Remove what the backup's queue held: messages are pickles, and rows say what is to be done.

    Tasks and schedules hold pickles too, which the admin would read.
    """
    for kept in (OrmQ, Schedule, Task):
        kept.objects.all().delete()


def _forget_again(unfinished: Path) -> None:
    """Whoever was forgotten after the backup was made stays forgotten."""
    actor = system_user("everlearn")
    erasing.forget_again(unfinished.read_text().split(), actor=actor)


def _refuse_live_processes() -> None:
    """Web processes that no supervisor of this home keeps, in a container say."""
    with suppress(DatabaseError):
        alive = WebProcess.objects.filter(seen_at__gt=timezone.now() - ALIVE_WITHIN).first()
        if alive is not None:
            age = (timezone.now() - alive.seen_at) / timedelta(seconds=1)
            detail = f"web process {alive} was alive {age:.0f} s ago: stop it first"
            raise BackupRefused("running", detail)


def _in_the_way() -> str:
    """What a restore would replace; "" when nothing."""
    with suppress(DatabaseError):
        if count := RegisteredModel.objects.count():
            return f"the database holds {count} models"
    if (stored := next(storing.names(), None)) is not None:
        return f"the storage holds {stored}"
    artifacts = settings.EVERLEARN_HOME / ARTIFACTS
    if artifacts.exists() and any(path.is_file() for path in artifacts.rglob("*")):
        return f"{artifacts} is not empty"
    return ""


def _refuse_other_vendor(manifest: Mapping[str, Any]) -> None:
    made = manifest["database"]["vendor"]
    if made != connection.vendor:
        detail = f"it is of {made}, and DATABASE_URL names {connection.vendor}"
        raise BackupRefused("other_database", detail)


def _put_in_place(folder: Path, manifest: Mapping[str, Any]) -> None:
    home, mlflow = settings.EVERLEARN_HOME, embedded_mlflow()
    connections.close_all()
    # First: what an older backup has no signature of is signed when it is migrated.
    if (folder / BUNDLE_KEYS).exists():
        _exchange_key(folder / BUNDLE_KEYS, home / BUNDLE_KEYS)
    if manifest["mlflow"]["embedded"] and mlflow is not None:
        _move_artifacts(folder / MLFLOW_FILE, manifest["home"])
        _exchange_sqlite(folder / MLFLOW_FILE, mlflow)
        _exchange_folder(folder / ARTIFACTS, home / ARTIFACTS)
    if (stored := storing.folder()) is not None:
        _exchange_folder(folder / STORAGE, stored)
    else:
        storing.fill(folder / STORAGE)
    shutil.rmtree(home / "cache", ignore_errors=True)
    if connection.vendor == "sqlite":
        _exchange_sqlite(
            folder / DATABASE / dumps.SQLITE_FILE, Path(settings.DATABASES["default"]["NAME"])
        )
        call_command("migrate", interactive=False, verbosity=0)
    else:
        dumps.load_tables(dumps.Dump(folder / DATABASE))
    _exchange_key(folder / KEY_FILE, home / KEY_FILE)


def _exchange_key(new: Path, old: Path) -> None:
    new.chmod(0o600)
    new.replace(old)


def _exchange_folder(new: Path, old: Path) -> None:
    """Have `new` in the place of `old`; a backup without such files leaves none."""
    gone = old.with_name(f"{old.name}.replaced")
    shutil.rmtree(gone, ignore_errors=True)
    if old.exists():
        old.rename(gone)
    if new.exists():
        new.rename(old)
    shutil.rmtree(gone, ignore_errors=True)


def _exchange_sqlite(new: Path, old: Path) -> None:
    # The write-ahead log belongs to the file that goes, and would be played into the new one.
    for part in SQLITE_PARTS[::-1]:
        old.with_name(f"{old.name}{part}").unlink(missing_ok=True)
    old.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(new, old)


def _move_artifacts(mlflow: Path, old_home: str) -> None:
    """Correct the addresses in MLflow's database, should this be another home."""
    old, new = (Path(home).as_uri() + "/" for home in (old_home, settings.EVERLEARN_HOME))
    with closing(sqlite3.connect(mlflow)) as database, database:
        for table, column in ARTIFACT_ADDRESSES:
            database.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608 - ours
                f"WHERE substr({column}, 1, ?) = ?",
                (new, len(old) + 1, len(old), old),
            )
