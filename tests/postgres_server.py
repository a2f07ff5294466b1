"""A PostgreSQL server of the tests' own, in a temporary folder, on a port of its own.

    python -m tests.postgres_server COMMAND …

runs a command with TEST_POSTGRES_URL: the server that answers already, or one made for it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests import databases

DEBIAN = Path("/usr/lib/postgresql")
UNPRIVILEGED = ("postgres", "nobody")
# For speed: what a test's own server holds need not survive a loss of power.
CONFIGURATION = "-c fsync=off -c listen_addresses=127.0.0.1"


class Missing(Exception):
    """PostgreSQL is not installed; the message says what to do."""


class PostgresServer:
    """One cluster: `start`, `stop`, and the URL under which it answers when it runs."""

    def __init__(self, folder: Path, options: str = CONFIGURATION) -> None:
        self._programs = programs()
        self._folder, self._options = folder, options
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres"
        folder.chmod(0o755)
        self.data = folder / "data"
        self.data.mkdir(mode=0o700)
        if other := _as_other_user():
            shutil.chown(self.data, other["user"])
        self._run("initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-N")

    def start(self) -> None:
        """Start, and return once it answers."""
        options = f"-p {self.port} -c unix_socket_directories= {self._options}"
        self._run("pg_ctl", "-w", "-s", "-l", str(self.data / "log"), "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop: `fast` ends its clients, `immediate` is a crash."""
        self._run("pg_ctl", "-w", "-s", "-m", mode, "stop")

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [self._programs / program, "-D", self.data, *words],
            cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, check=False, **_as_other_user(),
        )  # fmt: skip
        assert done.returncode == 0, f"{program}: {done.stderr}"


def _as_other_user() -> dict[str, Any]:
    """Who runs it in our place when we are root: it refuses to."""
    if os.getuid() != 0:
        return {}
    entries = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = next(entries[name] for name in UNPRIVILEGED if name in entries)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def programs() -> Path:
    """The folder of initdb and pg_ctl. Raises Missing."""
    versions = (folder for folder in DEBIAN.glob("*/bin") if (folder / "initdb").exists())
    newest = sorted(versions, key=lambda folder: float(folder.parent.name))
    if newest:
        return newest[-1]
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    raise Missing("The tests need PostgreSQL (on Debian: apt-get install postgresql).")


def installed() -> Path:
    """The same, after Debian's package was installed where we may. Raises Missing."""
    with suppress(Missing):
        return programs()
    if os.getuid() == 0 and (apt := shutil.which("apt-get")):
        print("Installing PostgreSQL for the tests", flush=True)  # noqa: T201
        for words in (["update"], ["-y", "install", "postgresql"]):
            subprocess.run([apt, "-qq", *words], stdout=subprocess.DEVNULL, check=False)
    return programs()


@contextmanager
def own_server(options: str = CONFIGURATION) -> Iterator[PostgresServer]:
    """A running server that is gone afterwards. Raises Missing."""
    with tempfile.TemporaryDirectory(prefix="everlearn-postgres-") as folder:
        server = PostgresServer(Path(folder), options)
        server.start()
        try:
            yield server
        finally:
            with suppress(AssertionError):  # a test may have stopped it
                server.stop("immediate")


def main(*command: str) -> int:
    if databases.answers(databases.server()):
        return _run(databases.server(), *command)
    if os.environ.get("TEST_POSTGRES_URL"):
        sys.exit("Nothing answers at TEST_POSTGRES_URL.")
    try:
        installed()
    except Missing as missing:
        sys.exit(str(missing))
    with own_server() as server:
        return _run(server.url, *command)


def _run(url: str, *command: str) -> int:
    # Ctrl-C reaches the command as well: once it has ended, the server is stopped.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    environ = os.environ | {"TEST_POSTGRES_URL": url}
    return subprocess.run(command, env=environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
