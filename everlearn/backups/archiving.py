"""Make a backup, one tar file of all that is needed to carry on, and open one again.

The databases come first, each as it is at one moment, and the files after them: a file is
written before the row that names it, so that every file which a copied row names is there.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
import tomllib
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.utils import timezone

from everlearn.backups import dumps, storing
from everlearn.backups.verifying import (
    ARTIFACTS,
    BUNDLE_KEYS,
    DATABASE,
    FORMAT,
    KEY_FILE,
    MANIFEST,
    MLFLOW_FILE,
    SIGNATURE,
    STORAGE,
    BackupRefused,
    signature,
    summary,
    verify,
)
from models_app import signing

# Called with what is under way, how many files are done, and how many there are.
Progress = Callable[[str, int, int], None]
Opening = Callable[[], IO[Any]]

COMPRESSION = 3  # most of it is compressed already
SQLITE_BEGINS = b"SQLite format 3\0"
UNDER_WAY, OPENED = "backup-", "opened-"


def back_up(target: Path, *, on_progress: Progress) -> dict[str, Any]:
    """Write a backup to `target`, in place of what was there, and return its manifest.

    It appears whole or not at all. Raises OSError, such as when the disk is full.
    """
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        # What is in it lets anybody in: mode 0600.
        descriptor = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file, _alone():
            manifest = _write(file, on_progress)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return manifest


@contextmanager
def _alone() -> Iterator[None]:
    """One backup at a time, which clears away what a killed one left."""
    with (settings.EVERLEARN_HOME / "backup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in settings.EVERLEARN_HOME.glob(f"{UNDER_WAY}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def _write(file: IO[bytes], on_progress: Progress) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory(dir=settings.EVERLEARN_HOME, prefix=UNDER_WAY) as made,
        tarfile.open(fileobj=file, mode="w:gz", compresslevel=COMPRESSION) as tar,
    ):
        on_progress("databases", 0, 1)
        folder = Path(made)
        about = _dump(folder)
        places = [*_below(folder, ""), *_stored()]
        if about["mlflow"]["embedded"]:
            places += _below(settings.EVERLEARN_HOME / ARTIFACTS, f"{ARTIFACTS}/")
        members: dict[str, Any] = {}
        for done, (name, opening) in enumerate(places):
            on_progress(name, done, len(places))
            if added := _add(tar, name, opening):
                members[name] = added
        manifest = about | {"members": members}
        content = json.dumps(manifest, indent=1).encode()
        _add_bytes(tar, MANIFEST, content)
        _add_bytes(tar, SIGNATURE, signature(content).encode())
    on_progress("done", len(places), len(places))
    return manifest


def _dump(folder: Path) -> dict[str, Any]:
    """Write what is no file yet into `folder`, and return what the manifest says of it."""
    (folder / DATABASE).mkdir()
    dumps.write(folder / DATABASE)
    # After ours: a version that only MLflow has is mirrored by the next reconcile.
    mlflow = embedded_mlflow()
    if mlflow is not None and mlflow.exists():
        with closing(sqlite3.connect(mlflow)) as source:
            dumps.copy_sqlite(source, folder / MLFLOW_FILE)
    (folder / KEY_FILE).write_text(settings.SECRET_KEY)
    (folder / BUNDLE_KEYS).write_text("\n".join(signing.keys()))
    return {
        "format": FORMAT,
        "made_at": timezone.now().isoformat(),
        "versions": {"everlearn": _version(), "django": version("django")},
        "home": str(settings.EVERLEARN_HOME),
        "database": summary(dumps.Dump(folder / DATABASE)),
        "mlflow": {"version": version("mlflow"), "embedded": (folder / MLFLOW_FILE).exists()},
    }


def _version() -> str:
    project = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def embedded_mlflow() -> Path | None:
    """The file of MLflow's database when it is ours to back up."""
    scheme, _, path = settings.MLFLOW_TRACKING_URI.partition(":///")
    return Path(path) if scheme == "sqlite" else None


def _stored() -> list[tuple[str, Opening]]:
    """The files of the storage, each with its name in the backup."""
    return [
        (f"{STORAGE}/{name}", partial(default_storage.open, name))
        for name in sorted(storing.names())
    ]


def _below(folder: Path, prefix: str) -> list[tuple[str, Opening]]:
    """The files below a folder, each with its name in the backup."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return [
        (f"{prefix}{path.relative_to(folder).as_posix()}", partial(path.open, "rb"))
        for path in found
    ]


class _Hashing:
    """A file that is hashed while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        part = self._file.read(size)
        self.sha256.update(part)
        return part


def _add(tar: tarfile.TarFile, name: str, opening: Opening) -> dict[str, Any] | None:
    """Add a file and return what the manifest says of it; None when it is gone."""
    try:
        opened = opening()
    except FileNotFoundError:
        return None  # somebody else's temporary file
    with opened as file:
        member = tarfile.TarInfo(name)
        file.seek(0, os.SEEK_END)
        member.size = file.tell()
        file.seek(0)
        member.mode = 0o600
        hashing = _Hashing(file)
        tar.addfile(member, hashing)
    return {"size": member.size, "sha256": hashing.sha256.hexdigest()}


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, BytesIO(content))


@contextmanager
def opened(
    backup: Path, *, beside: Path | None = None, trust: bool = True
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The folder that a backup was extracted to, and its manifest, verified.

    beside: the folder in which to extract. trust: see `verify`. Raises BackupRefused.
    """
    _refuse_plain_copy(backup)
    with tempfile.TemporaryDirectory(dir=beside, prefix=OPENED) as made:
        folder = Path(made)
        _extract(backup, folder)
        yield folder, dict(verify(folder, trust=trust))


def _extract(backup: Path, folder: Path) -> None:
    try:
        with gzip.open(backup) as file:
            with tarfile.open(fileobj=file, mode="r|") as tar:
                tar.extractall(folder, filter="data")
            # Up to the checksum at its end, which a file that was cut off lacks.
            for _ in iter(partial(file.read, dumps.CHUNK), b""):
                pass
    except (EOFError, zlib.error, tarfile.ReadError, gzip.BadGzipFile) as error:
        raise BackupRefused("truncated", f"it is cut off or damaged: {error}") from error
    except (tarfile.TarError, OSError) as error:
        raise BackupRefused("unreadable", f"it cannot be opened: {error}") from error


def _refuse_plain_copy(backup: Path) -> None:
    try:
        with backup.open("rb") as file:
            begins = file.read(len(SQLITE_BEGINS))
    except OSError as error:
        raise BackupRefused("unreadable", str(error)) from error
    if begins == SQLITE_BEGINS:
        raise BackupRefused(
            "plain_sqlite_copy",
            "this is a copy of the database file, without what its -wal file held and without "
            "bundles and keys: make one with manage.py backup",
        )
    if begins[:2] != b"\x1f\x8b":
        detail = "it is empty" if not begins else "it is no file that manage.py backup made"
        raise BackupRefused("truncated" if not begins else "not_a_backup", detail)
