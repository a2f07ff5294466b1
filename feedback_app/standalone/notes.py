"""What a training elsewhere has reached, in a file, for whoever has to end what was killed."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from django.conf import settings

FILE, LOCK = "standalone.json", "standalone.lock"


class UnderWay(Exception):
    """A training goes on in this EVERLEARN_HOME; the message is one line."""


@dataclass(frozen=True, slots=True)
class Note:
    """run: the service's, 0 for none. reporter: who trains. version: 0 until registered.

    ended: whether somebody has been told, and nothing is left to do.
    """

    model: str
    run: int
    reporter: str
    mlflow_run_id: str = ""
    version: int = 0
    ended: bool = False


def reporter() -> str:
    """Who trains: the address of the GitHub job, or else this process."""
    env = os.environ
    if env.get("GITHUB_ACTIONS") == "true":
        server, repository = env["GITHUB_SERVER_URL"], env["GITHUB_REPOSITORY"]
        attempt = env.get("GITHUB_RUN_ATTEMPT", "1")
        return f"{server}/{repository}/actions/runs/{env['GITHUB_RUN_ID']}/attempts/{attempt}"[:200]
    return f"process {os.getpid()} on {socket.gethostname()}"[:200]


@contextmanager
def alone() -> Iterator[None]:
    """Be the only training of this EVERLEARN_HOME within the block. Raises UnderWay."""
    with (settings.EVERLEARN_HOME / LOCK).open("w") as lock:
        try:
            # The kernel lets go of it however this process ends.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnderWay(f"a training is under way in {settings.EVERLEARN_HOME}") from None
        yield


def write(note: Note) -> None:
    """Keep the note in the place of the one before."""
    path = _path()
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(note)))
    partial.replace(path)


def update(note: Note, **reached: Any) -> Note:
    """The note with what was reached, kept."""
    note = replace(note, **reached)
    write(note)
    return note


def read() -> Note | None:
    """The note of the last training here; None when there was none."""
    try:
        return Note(**json.loads(_path().read_text()))
    except FileNotFoundError:
        return None


def _path() -> Path:
    return Path(settings.EVERLEARN_HOME) / FILE
