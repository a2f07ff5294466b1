"""Files that are there whole or not at all, whoever is killed while writing them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, default_storage

PARTIAL = ".partial"


class AtomicFileSystemStorage(FileSystemStorage):
    """Django's file storage, but a file gets its name only once it is complete and on disk."""

    def _save(self, name: str, content: Any) -> str:
        partial = f"{name}.{uuid4().hex}{PARTIAL}"
        try:
            super()._save(partial, content)  # type: ignore[misc]
        except BaseException:
            # What was refused in the middle may not fill the disk.
            self.delete(partial)
            raise
        with Path(self.path(partial)).open("rb") as file:
            os.fsync(file.fileno())
        Path(self.path(partial)).replace(self.path(name))
        return name


def store(name: str, content: bytes) -> None:
    """Write `content` as the file `name`; the same content again changes nothing."""
    if default_storage.exists(name):
        with default_storage.open(name) as file:
            if file.read() == content:
                return
    # Every name that we store by says what is in it: whatever else is there, is damaged.
    replace(name, content)


def replace(name: str, content: bytes) -> None:
    """Have other content under `name`, without a moment in which there is none."""
    default_storage.save(name, ContentFile(content))
