"""The files through which the web processes of one host share their counts.

A process writes to them as to memory, and a disk without room would then kill it. So their room
is taken before it begins; where there is none, it does not count.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
ROOM = 256 * 1024
# What the beginning of a file says of how much is in use takes this much at least.
LEAST = 4096


def begin(home: Path) -> None:
    """Forget what an earlier server counted; to be called before anything imports Prometheus."""
    folder = home / "metrics"
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.mkdir(parents=True)
        os.environ[VARIABLE] = str(folder)


def take_room(pid: int) -> bool:
    """Take the room of one process; False when there is none."""
    try:
        for kind in ("counter", "histogram"):
            with (Path(os.environ[VARIABLE]) / f"{kind}_{pid}.db").open("a+b") as file:
                os.posix_fallocate(file.fileno(), 0, ROOM)
    except (OSError, KeyError):
        return False
    return True


def give_back(pid: int) -> None:
    """Keep only what a process that ended has counted."""
    for path in Path(os.environ.get(VARIABLE, os.devnull)).glob(f"*_{pid}.db"):
        with suppress(OSError), path.open("r+b") as file:
            used = int.from_bytes(file.read(4), "little")
            file.truncate(max(used, LEAST))
