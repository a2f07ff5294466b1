"""The environment of a process that a test starts on a home of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from everlearn.configuration import settings_table


def of_another(home: Path, **environ: str) -> dict[str, str]:
    """Every setting at its default but for `environ` and the home.

    Nothing of the test process comes along: neither its database, nor the tracking URI that
    MLflow's client puts into the environment of whoever uses it.
    """
    defaults = {setting.metadata["name"]: "" for setting in settings_table()}
    return os.environ | defaults | environ | {"EVERLEARN_HOME": str(home)}


def without_defaults(environ: Mapping[str, str]) -> dict[str, str]:
    """The same without what is empty, as for a program that knows fewer settings."""
    return {name: text for name, text in environ.items() if text}
