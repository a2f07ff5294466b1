"""`manage.py up`, supervising.py and lifeline.py: from nothing to a prediction, and back."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from django.conf import settings

from everlearn.supervising import Busy, refuse_busy_port, sole_instance
from tests.factories import leaves

DECLARED = """
default = "leaves"
[models.leaves]
data = "leaves.csv"
target = "kind"
estimator = "logistic"
public = true
"""
# The contract's numbers, in seconds.
BACK_WITHIN = STOPPED_WITHIN = 10
FIRST_START_WITHIN = 120


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)


class Up:
    """A running `manage.py up` with a home and a port of its own."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.home = home
        self.seen: set[psutil.Process] = set()

    def start(self) -> str:
        """Start, wait until it stays, and return what it printed."""
        output = self.home / "output"
        environ = {"PORT": str(self.port), "EVERLEARN_MODELS": str(self.home / "everlearn.toml")}
        with output.open("w") as file:
            self.process = psutil.Popen(
                [sys.executable, "manage.py", "up"],
                cwd=settings.BASE_DIR, stdout=file, stderr=subprocess.STDOUT,
                env=os.environ | environ | {"EVERLEARN_HOME": str(self.home)},
            )  # fmt: skip
        wait_for(
            lambda: "Ctrl-C" in output.read_text() or not self.process.is_running(),
            FIRST_START_WITHIN,
        )
        return output.read_text()

    def below(self, *words: str) -> list[psutil.Process]:
        """The processes below it whose command line has all `words`."""
        found = []
        for process in self.process.children(recursive=True):
            self.seen.add(process)
            try:
                if set(words) <= set(process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def has_another(self, word: str, dead: psutil.Process) -> bool:
        now = self.below(word)
        return bool(now) and dead not in now

    def ready(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ready", timeout=2).close()
        except OSError:
            return False
        return True

    def end(self, signum: signal.Signals) -> None:
        """Send `signum` and wait until nothing is left of it."""
        self.below()
        self.process.send_signal(signum)
        self.process.wait(STOPPED_WITHIN)
        wait_for(lambda: not any(process.is_running() for process in self.seen), STOPPED_WITHIN)


@pytest.fixture(scope="module")
def up(tmp_path_factory) -> Iterator[Up]:
    home = tmp_path_factory.mktemp("up")
    leaves().to_csv(home / "leaves.csv", index=False)
    (home / "everlearn.toml").write_text(DECLARED)
    running = Up(home)
    yield running
    if running.process.is_running():
        running.end(signal.SIGTERM)


def _shown(name: str, output: str) -> str | None:
    found = re.search(rf"^\s+{name}:\s+(\S+)$", output, re.MULTILINE)
    return found and found[1]


def _pasted(output: str):
    """The answer to the request that the printed line makes."""
    line = re.search(r"^\s+(curl .*)$", output, re.MULTILINE)
    assert line
    command, silent, url, header, kind, data, body = shlex.split(line[1])
    assert (command, silent, header, data) == ("curl", "-s", "-H", "-d")
    request = urllib.request.Request(url, body.encode(), dict([kind.split(": ")]))
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def test_from_an_empty_home_to_answers_to_a_later_start(up: Up) -> None:
    """One story, since each start costs many seconds."""
    first = up.start()

    assert _shown("url", first) == f"http://127.0.0.1:{up.port}/"
    assert _shown("user", first) == "admin"
    assert _shown("password", first)
    answer = _pasted(first)
    assert (answer["model"], answer["version"], answer["generation"]) == ("leaves", 1, 1)
    runs = urllib.request.Request(
        f"http://127.0.0.1:{up.port}/api/runs/",
        headers={"Authorization": f"Bearer {_shown('api key', first)}"},
    )
    with urllib.request.urlopen(runs, timeout=5) as listed:
        assert json.load(listed)["results"][0]["model"] == "leaves"

    for half in ("gunicorn.conf.py", "worker"):
        killed = up.below(half)
        killed[0].kill()
        wait_for(partial(up.has_another, half, killed[0]), BACK_WITHIN)
    wait_for(up.ready, BACK_WITHIN)

    up.end(signal.SIGINT)

    second = up.start()
    assert _shown("url", second)
    assert _shown("password", second) is None
    assert _shown("api key", second) is None
    assert _pasted(second)["version"] == 1

    # However it ends, nothing goes on without it.
    up.end(signal.SIGKILL)


def test_a_port_that_is_taken_is_named_in_one_line(tmp_path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "manage.py", "up"],
            cwd=settings.BASE_DIR, capture_output=True, text=True, check=False,
            env=os.environ | {"EVERLEARN_HOME": str(tmp_path), "PORT": str(port)},
        )  # fmt: skip

    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert f"Port {port} is taken" in done.stderr


def test_a_free_port_is_taken_without_a_word() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    refuse_busy_port(port)


def test_one_home_holds_one_instance(tmp_path) -> None:
    with sole_instance(tmp_path):
        again = sole_instance(tmp_path)
        with pytest.raises(Busy, match="already runs"):
            again.__enter__()

    with sole_instance(tmp_path):
        pass


def test_a_tied_program_ends_when_its_parent_is_killed() -> None:
    starts_a_child = (
        "import subprocess, sys, time; from feedback_app.lifeline import tied\n"
        "child = subprocess.Popen(tied('sleep', '600')); print(child.pid, flush=True)\n"
        "time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", starts_a_child], cwd=settings.BASE_DIR, stdout=subprocess.PIPE
    )
    assert parent.stdout
    child = psutil.Process(int(parent.stdout.readline()))
    wait_for(lambda: child.name() == "sleep", 10)

    parent.kill()
    parent.communicate()

    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 10)
