"""compose.yaml, read as Compose does, and its services run without a container."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from django.conf import settings

# $$, ${NAME:?why}, ${NAME:-default}
REFERENCE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?::(?P<kind>[?-])(?P<rest>[^}]*))?\})")
HOME = "/var/lib/everlearn"


class Missing(Exception):
    """A variable without which Compose would refuse to start."""


def read(given: Mapping[str, str]) -> dict[str, Any]:
    """The file with its variables filled in from `given`. Raises Missing."""

    def fill(found: re.Match[str]) -> str:
        if found["dollar"]:
            return "$"
        if text := given.get(found["name"]):
            return text
        if found["kind"] != "-":
            raise Missing(found["name"])
        return found["rest"]

    def filled(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: filled(inner) for name, inner in part.items()}
        if isinstance(part, list):
            return [filled(inner) for inner in part]
        return REFERENCE.sub(fill, part) if isinstance(part, str) else part

    parsed = yaml.safe_load((settings.BASE_DIR / "compose.yaml").read_text())
    return {name: filled(part) for name, part in parsed.items() if not name.startswith("x-")}


def start(
    service: Mapping[str, Any],
    home: Path,
    moved: Mapping[str, str],
    configs: Mapping[str, Any],
    **environ: str,
) -> subprocess.Popen[str]:
    """Run a service's command with its environment, on this machine.

    home: stands for its volume. moved: where the other services are, by what the file calls
    them. configs: the contents of the files that it is given.
    """
    home.mkdir(exist_ok=True)
    moved = {**moved, HOME: str(home)}
    for given in service.get("configs", ()):
        place = home / Path(given["target"]).name
        place.write_text(_moved(configs[given["source"]]["content"], moved))
        moved[given["target"]] = str(place)
    beside = Path(sys.executable).parent
    inherited = {name: os.environ[name] for name in ("LANG", "TZ") if name in os.environ}
    asked = {name: _moved(str(text), moved) for name, text in service["environment"].items()}
    with (home / "output").open("a") as output:
        return subprocess.Popen(
            [_moved(word, moved) for word in service["command"]],
            cwd=settings.BASE_DIR,
            env={"PATH": f"{beside}:{os.defpath}", "HOME": str(home), "EVERLEARN_HOME": str(home)}
            | inherited | asked | environ,
            stdout=output, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip


def _moved(text: str, moved: Mapping[str, str]) -> str:
    for name, place in moved.items():
        text = text.replace(name, place)
    return text
