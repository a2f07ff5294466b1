"""`python -m everlearn.tethered COMMAND …`: run COMMAND so that it ends when its parent does.

The tie survives exec, so it holds for programs that know nothing of it.
"""

import os
import signal
import sys

from feedback_app.lifeline import die_with_parent

if __name__ == "__main__":
    die_with_parent(signal.SIGTERM)
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - what this is for
