"""Where bundles, snapshots and batches are kept: in a folder, or in a bucket of an S3 server."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from everlearn.configuration import Configuration


def storage(given: Configuration) -> dict[str, Any]:
    """Django's settings of the default storage."""
    if not given.storage:
        return {
            "BACKEND": "models_app.atomic_storage.AtomicFileSystemStorage",
            # A name has new content at once, as in a bucket.
            "OPTIONS": {"location": str(given.home / "storage"), "allow_overwrite": True},
        }
    bucket = urlsplit(given.storage)
    return {
        "BACKEND": "models_app.object_storage.ObjectStorage",
        "OPTIONS": {"bucket_name": bucket.netloc, "location": bucket.path.strip("/")},
    }
