"""A whole EverLearn, started by `manage.py up` with a home and a port of its own."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import psutil
from django.conf import settings

from tests import environments
from tests.factories import leaves

DECLARED = """
default = "leaves"
[models.leaves]
data = "leaves.csv"
target = "kind"
estimator = "logistic"
public = true
"""
STOPPED_WITHIN = 10
FIRST_START_WITHIN = 180


def wait_for(condition: Callable[[], object], seconds: float) -> None:
    """Return as soon as `condition` holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)


def shown(name: str, output: str) -> str | None:
    """The value of a line such as `url: …` that `manage.py up` printed."""
    found = re.search(rf"^\s+{name}:\s+(\S+)$", output, re.MULTILINE)
    return found and found[1]


class Instance:
    """A running `manage.py up` that serves the model `leaves`; ended with the `with` block.

    environ: settings beyond home, port and declared models, such as `tests.databases.fresh`.
    tree: where its code is, of another release perhaps.
    """

    def __init__(
        self,
        home: Path,
        *,
        declared: str = DECLARED,
        tree: str = str(settings.BASE_DIR),
        **environ: str,
    ) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.home = home
        self.tree = tree
        self.url = f"http://127.0.0.1:{self.port}"
        self.key = ""
        self.seen: set[psutil.Process] = set()
        self.process: psutil.Popen | None = None
        leaves().to_csv(home / "leaves.csv", index=False)
        (home / "everlearn.toml").write_text(declared)
        self.environ = environments.of_another(
            home, PORT=str(self.port), EVERLEARN_MODELS=str(home / "everlearn.toml"), **environ
        )
        if tree != str(settings.BASE_DIR):
            # It would refuse the settings that it does not know.
            self.environ = environments.without_defaults(self.environ)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self.process is not None and self.process.is_running():
            self.end(signal.SIGTERM)

    def start(self) -> str:
        """Start, wait until it stays, and return what it printed."""
        output = self.home / "output"
        with output.open("w") as file:
            process = self.process = psutil.Popen(
                [sys.executable, "manage.py", "up"],
                cwd=self.tree, stdout=file, stderr=subprocess.STDOUT, env=self.environ,
            )  # fmt: skip
        wait_for(
            lambda: "Ctrl-C" in output.read_text() or not process.is_running(), FIRST_START_WITHIN
        )
        told = output.read_text()
        self.key = shown("api key", told) or self.key
        return told

    def client(self, **options: Any) -> httpx.Client:
        """An HTTP client with the key of all scopes."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, **options)

    def manage(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of manage.py against this instance; whoever calls looks at its status."""
        return subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=self.tree, env=self.environ, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def below(self, *words: str) -> list[psutil.Process]:
        """The processes below it whose command line has all `words`."""
        found = []
        assert self.process
        for process in self.process.children(recursive=True):
            self.seen.add(process)
            try:
                if set(words) <= set(process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def has_another(self, word: str, dead: psutil.Process) -> bool:
        """Whether another process than `dead` has taken its place."""
        now = self.below(word)
        return bool(now) and dead not in now

    def ready(self) -> bool:
        """Whether it answers 200 to /ready."""
        try:
            return httpx.get(f"{self.url}/ready", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def end(self, signum: signal.Signals) -> None:
        """Send `signum` and wait until nothing is left of it."""
        assert self.process
        self.below()
        self.process.send_signal(signum)
        self.process.wait(STOPPED_WITHIN)
        wait_for(lambda: not any(process.is_running() for process in self.seen), STOPPED_WITHIN)
