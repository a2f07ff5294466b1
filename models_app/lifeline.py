"""Tie a process to the one that started it, so that no orphan goes on working.

`python -m models_app.lifeline SIGNAL COMMAND …` ties COMMAND from its first moment on: the tie
survives exec, so it holds for programs that know nothing of it.
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


def tied(*command: str, by: signal.Signals = signal.SIGKILL) -> list[str]:
    """The command line that runs `command`, sent the signal `by` when whoever starts it dies."""
    return [sys.executable, "-m", "models_app.lifeline", by.name, *command]


if __name__ == "__main__":
    die_with_parent(signal.Signals[sys.argv[1]])
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - what this is for
