"""The rows of a training as a file, made in a process of its own.

What reads base data takes pandas, which no web process should hold; and a file larger than
memory ends that process and not the one that answers.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import IO

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied

from feedback_app import handing_over
from feedback_app.models import RetrainingRun
from feedback_app.secrecy import without_secrets
from models_app import lifeline
from models_app.models import RegisteredModel
from models_app.refusals import Conflict, Unavailable

logger = logging.getLogger(__name__)

FORMATS = ("parquet", "csv")
PIECE = 2**16
LONGEST_REASON = 1000

# Each takes the memory of the whole table.
_making = threading.BoundedSemaphore(1)


class DataUnusable(Conflict):
    """The base data cannot be read, or nothing can be learnt from it."""

    default_code = "data_refused"


def stream(
    model: RegisteredModel, form: str, *, actor: User, run: RetrainingRun | None = None
) -> Iterator[bytes]:
    """The file in `form`, piece by piece, once it is known that there is one.

    run: a run of the model that is trained elsewhere; without one, what the next would train
    on. Raises PermissionDenied, NotHandedOver, DataUnusable, and Unavailable while another file
    is being made.
    """
    if not actor.has_perm("feedback_app.add_retrainingrun"):
        raise PermissionDenied("Training data needs add_retrainingrun.")
    if run is not None:
        handing_over.refuse_unless_handed_over(run)
    pieces = _made(model.name, "--format", form, *(["--run", str(run.pk)] if run else []))
    # The first piece comes when the whole file is made: until then it may still be refused.
    first = next(pieces)
    return _joined(first, pieces)


def _joined(first: bytes, others: Generator[bytes]) -> Generator[bytes]:
    try:
        yield first
        yield from others
    finally:
        others.close()


def _made(*options: str) -> Generator[bytes]:
    command = ("manage.py", "training_data", *options)
    with _alone(), tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            lifeline.tied(sys.executable, *command),
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        with child:
            try:
                while child.stdout and (piece := child.stdout.read(PIECE)):
                    yield piece
                if child.wait():
                    raise DataUnusable(_reason(errors))
            finally:
                child.kill()


@contextmanager
def _alone() -> Iterator[None]:
    if not _making.acquire(blocking=False):
        raise Unavailable("Another file of training data is being made; try again.")
    try:
        yield
    finally:
        _making.release()


def _reason(errors: IO[bytes]) -> str:
    """What the command refused; whatever else ended it is for the log."""
    errors.seek(0)
    said = errors.read().decode(errors="replace").strip()
    _, refused, why = said.rpartition("CommandError: ")
    if not refused or "\n" in why:
        logger.error("no file of training data was made: %s", without_secrets(said))
        why = "The rows could not be made into a file. The log of the service says more."
    return without_secrets(why)[:LONGEST_REASON]
