"""Tie a process to the one that started it, so that no orphan goes on working.

`python -m feedback_app.lifeline COMMAND …` ties COMMAND from its first moment on, since the
tie survives exec; it is killed with its parent.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(signum: signal.Signals) -> None:
    """Have the kernel send `signum` to this process when its parent dies, however that dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signum), 0, 0, 0)


def tied(*command: str) -> list[str]:
    """The command line that runs `command` tied to whoever starts it."""
    return [sys.executable, "-m", "feedback_app.lifeline", *command]


if __name__ == "__main__":
    die_with_parent(signal.SIGKILL)
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - what this is for
