"""What is installed beside EverLearn is what the lock names."""

from __future__ import annotations

import re
from collections import defaultdict
from importlib.metadata import distributions

from django.conf import settings

LOCKED = re.compile(r"^([A-Za-z0-9_.-]+)==([^ \\;]+)", re.MULTILINE)


def _name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_nothing_is_installed_that_the_lock_does_not_hold_to_a_version() -> None:
    """Tools that a new virtual environment brings along would age unseen."""
    locked: dict[str, set[str]] = defaultdict(set)
    for name, version in LOCKED.findall((settings.BASE_DIR / "requirements.lock").read_text()):
        locked[_name(name)].add(version)

    strange = {
        one.name: one.version
        for one in distributions()
        if one.version not in locked[_name(one.name)]
    }

    assert strange == {}
