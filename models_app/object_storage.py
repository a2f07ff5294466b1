"""Files in a bucket of an S3 server, as Django sees them.

Credentials and server are what boto3 finds: AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL_S3 and so on,
or the role of the machine. An object appears whole or not at all, so there is nothing to do for
those whose writer is killed.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.base import File
from storages.backends.s3 import S3Storage

from models_app.refusals import Unavailable

logger = logging.getLogger(__name__)

# What is longer goes to a temporary file on its way.
IN_MEMORY = 8 * 2**20
PATIENT = Config(
    connect_timeout=3,
    read_timeout=20,
    retries={"total_max_attempts": 2, "mode": "standard"},
    # Every file of ours has its SHA-256; not every server knows the newer checksums.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


@contextmanager
def _away() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        logger.warning("S3: %s", error)
        # Its text has addresses and names that are no client's business.
        said = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
        detail = f"The store of files gives {said}." if said else "The store of files is away."
        raise Unavailable(detail, code="storage_unavailable") from error


class ObjectStorage(S3Storage):
    """S3; raises FileNotFoundError as a folder does, and else Unavailable."""

    def __init__(self, **options: Any) -> None:
        threadless = TransferConfig(use_threads=False)
        super().__init__(
            client_config=PATIENT,
            transfer_config=threadless,
            max_memory_size=IN_MEMORY,
            **options,
        )

    def _open(self, name: str, mode: str = "rb") -> File[Any]:
        with _away():
            opened: File[Any] = super()._open(name, mode)
            opened.open()  # fetches it, so that reading can no longer fail
        return opened

    def _save(self, name: str, content: File[Any]) -> str:
        # In pieces, as they come: a body that is refused half-way leaves nothing.
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as whole:
            for piece in content.chunks():
                whole.write(piece)
            with _away():
                saved: str = super()._save(name, File(whole))
        return saved

    def delete(self, name: str) -> None:
        """Remove a file; one that is not there is no error."""
        with _away():
            super().delete(name)

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        with _away():
            found: bool = super().exists(name)
        return found

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """The folders and the files directly below `path`; none when nothing is."""
        with _away():
            listed: tuple[list[str], list[str]] = super().listdir(path)
        return listed
