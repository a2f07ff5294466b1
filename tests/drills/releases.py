"""The code of the release before, from the repository's history."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from django.conf import settings

MIGRATIONS = "*/migrations/0*.py"
REMEDY = "git fetch --unshallow, or fetch-depth: 0"


def unpack_older(folder: Path) -> str:
    """Unpack the newest commit that lacks a migration of ours into `folder`; which one it is.

    Without the history there is no such thing, and the test is skipped: pytest's summary says so.
    """
    now = {path.relative_to(settings.BASE_DIR).as_posix() for path in _here()}
    for commit in _candidates():
        if _migrations(commit) < now:
            archive = _git("archive", commit)
            with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                tar.extractall(folder, filter="data")
            return commit
    pytest.skip(f"NO OLDER RELEASE to run beside this one: the history is not here ({REMEDY})")


def _here() -> list[Path]:
    rooms = ("everlearn", "feedback_app", "models_app")
    return [path for room in rooms for path in (settings.BASE_DIR / room).glob("migrations/0*.py")]


def _candidates() -> list[str]:
    """HEAD, for migrations that are not committed, and what was before each that is."""
    if not _git("rev-parse", "HEAD"):
        return []
    touching = _git("log", "--format=%P", "--diff-filter=A", "--", MIGRATIONS).decode().split()
    return ["HEAD", *touching]


def _migrations(commit: str) -> set[str]:
    names = _git("ls-tree", "-r", "--name-only", commit).decode().splitlines()
    return {name for name in names if "/migrations/0" in name and name.endswith(".py")}


def _git(*words: str) -> bytes:
    return subprocess.run(
        ["/usr/bin/env", "git", *words], cwd=settings.BASE_DIR, check=False, capture_output=True
    ).stdout
