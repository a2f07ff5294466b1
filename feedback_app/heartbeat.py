"""A file that the cluster touches at each pulse, and its watcher looks at."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings


def beat() -> None:
    """Leave word that the cluster on this machine carried out a pulse."""
    _file().touch()


def last_beat() -> float:
    """When that was last, in seconds since 1970; 0.0 when never."""
    try:
        return _file().stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _file() -> Path:
    return Path(settings.EVERLEARN_HOME) / "pulse"
