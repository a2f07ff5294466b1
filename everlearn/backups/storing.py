"""The files of Django's default storage, in a folder or in a bucket, for a backup and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage, default_storage

# What a running doctor writes and removes again.
PASSING = "doctor"


def folder() -> Path | None:
    """Where the storage is, if it is a folder of this machine."""
    return (
        Path(default_storage.path("")) if isinstance(default_storage, FileSystemStorage) else None
    )


def names(below: str = "") -> Iterator[str]:
    """The name of every file that is stored."""
    try:
        folders, files = default_storage.listdir(below)
    except FileNotFoundError:
        return
    yield from (f"{below}{name}" for name in files)
    for name in folders:
        if below or name != PASSING:
            yield from names(f"{below}{name}/")


def fill(source: Path) -> None:
    """Have the storage hold the files of `source` and no others; new ones come first."""
    kept = set()
    for path in source.rglob("*"):
        if path.is_file():
            name = path.relative_to(source).as_posix()
            with path.open("rb") as file:
                default_storage.save(name, File(file))
            kept.add(name)
    for name in set(names()) - kept:
        default_storage.delete(name)
