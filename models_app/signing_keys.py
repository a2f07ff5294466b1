"""The keys that sign bundles, as text and as a file; needs no Django, so that settings may ask."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path

FILE = "bundle_key"  # below EVERLEARN_HOME: a key a line, of which the first signs
SHORTEST, LONGEST = 32, 512
_FEWEST_CHARACTERS = 10
_MOST_BYTES = 16 * 1024


def checked(text: str) -> str:
    """A key that may sign. Raises ValueError, whose message does not repeat the key."""
    if not re.fullmatch(r"[!-+\--~]+", text):
        raise ValueError("a key is printable ASCII without spaces and commas")
    if not SHORTEST <= len(text) <= LONGEST:
        raise ValueError(f"a key has {SHORTEST} to {LONGEST} characters")
    if len(set(text)) < _FEWEST_CHARACTERS:
        raise ValueError("a key is random; this one is easy to guess")
    return text


def new_key() -> str:
    """A key that nobody has."""
    return secrets.token_urlsafe(48)


def read(path: Path) -> tuple[str, ...]:
    """The keys in a file, the one that signs first. Raises ValueError, and OSError."""
    with path.open(encoding="ascii") as file:
        lines = file.read(_MOST_BYTES).split()
    if not lines:
        raise ValueError("it holds no key")
    return tuple(checked(line) for line in lines)


def replace(path: Path, keys: Sequence[str]) -> None:
    """Have the file hold these keys, without a moment in which it is not whole."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as mine:  # mode 0600
        mine.write("\n".join(keys) + "\n")
        mine.flush()
        os.fsync(mine.fileno())
    Path(mine.name).replace(path)


def write_once(path: Path, text: str) -> None:
    """Write a secret with mode 0600, unless the file is there already."""
    # Several processes start at once: link() makes exactly one of them win, with a whole file.
    with tempfile.NamedTemporaryFile("w", dir=path.parent) as mine:  # made with mode 0600
        mine.write(text)
        mine.flush()
        try:
            os.link(mine.name, path)
        except FileExistsError:
            return
