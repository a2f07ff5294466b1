"""Keep web and worker running on this machine, and end them together."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from models_app.lifeline import tied

# All must be over within ten seconds; supervisord itself allows its programs six.
STOP_SECONDS = 8.0
# Is there while a restore exchanges the parts of a home.
UNFINISHED_RESTORE = "restoring"
CONFIGURATION = Path(__file__).parent.parent / "supervisord.conf"


class Busy(Exception):
    """What is needed to start is taken; the message says by whom and what to do."""


def refuse_busy_port(port: int) -> None:
    """Raise Busy when something listens on `port` already."""
    family = socket.AF_INET6 if ":" in settings.EVERLEARN_HOST else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.EVERLEARN_HOST, port))
        except OSError as error:
            raise Busy(
                f"Port {port} is taken: end what listens there, or set PORT to another one."
            ) from error


@contextmanager
def sole_instance(home: Path, *, restoring: bool = False) -> Iterator[None]:
    """Hold the lock of `home`; two supervisors over one database would train twice.

    Raises Busy when another holds it, and when a restore into `home` was interrupted.
    """
    with (home / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(
                f"EverLearn already runs in {home}: set EVERLEARN_HOME to another."
            ) from error
        if not restoring and (home / UNFINISHED_RESTORE).exists():
            raise Busy(f"A restore into {home} was interrupted: run manage.py restore again.")
        yield


class Supervisor:
    """supervisord with web and worker below it, brought back should it die itself."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start web and worker; returns before they are ready."""
        (settings.EVERLEARN_HOME / "logs").mkdir(exist_ok=True)
        # Ctrl-C goes to the terminal's whole process group: a session of its own leaves the
        # order of stopping to us.
        self._process = subprocess.Popen(
            tied(
                "supervisord", "-c", str(settings.BASE_DIR / "supervisord.conf"), by=signal.SIGTERM
            ),
            cwd=settings.BASE_DIR,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def stay(self) -> None:
        """Wait for ever; a supervisord that ends is started again."""
        while self._process is not None:
            self._process.wait()
            time.sleep(1)
            self.start()

    def stop(self) -> None:
        """End everything, politely for a while and then by force."""
        if self._process is None:
            return
        for asked_to_end in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(asked_to_end, signal.SIG_IGN)  # it is under way
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _environment() -> Mapping[str, str]:
    beside_python = str(Path(sys.executable).parent)
    # An empty value means the default to us, but not to gunicorn, which reads some itself.
    given = {name: value for name, value in os.environ.items() if value}
    return given | {
        "EVERLEARN_HOME": str(settings.EVERLEARN_HOME),
        "PATH": os.pathsep.join((beside_python, os.environ.get("PATH", os.defpath))),
    }
