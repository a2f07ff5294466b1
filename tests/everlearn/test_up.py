"""`manage.py up`, supervising.py and lifeline.py: from nothing to a prediction, and back."""

import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from functools import partial

import psutil
import pytest
from django.conf import settings

from everlearn.supervising import Busy, refuse_busy_port, sole_instance
from tests import environments
from tests.instance import Instance, shown, wait_for

# The contract's number, in seconds.
BACK_WITHIN = 10


@pytest.fixture(scope="module")
def up(tmp_path_factory) -> Iterator[Instance]:
    with Instance(tmp_path_factory.mktemp("up")) as instance:
        yield instance


def _pasted(output: str):
    """The answer to the request that the printed line makes."""
    line = re.search(r"^\s+(curl .*)$", output, re.MULTILINE)
    assert line
    command, silent, url, header, kind, data, body = shlex.split(line[1])
    assert (command, silent, header, data) == ("curl", "-s", "-H", "-d")
    request = urllib.request.Request(url, body.encode(), dict([kind.split(": ")]))
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def test_from_an_empty_home_to_answers_to_a_later_start(up: Instance) -> None:
    """One story, since each start costs many seconds."""
    first = up.start()

    assert shown("url", first) == f"http://127.0.0.1:{up.port}/"
    assert shown("user", first) == "admin"
    assert shown("password", first)
    answer = _pasted(first)
    assert (answer["model"], answer["version"], answer["generation"]) == ("leaves", 1, 1)
    runs = urllib.request.Request(
        f"http://127.0.0.1:{up.port}/api/runs/",
        headers={"Authorization": f"Bearer {shown('api key', first)}"},
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
    assert shown("url", second)
    assert shown("password", second) is None
    assert shown("api key", second) is None
    assert _pasted(second)["version"] == 1

    # However it ends, nothing goes on without it.
    up.end(signal.SIGKILL)


def test_a_port_that_is_taken_is_named_in_one_line(tmp_path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "manage.py", "up"],
            cwd=settings.BASE_DIR, capture_output=True, text=True, check=False,
            env=environments.of_another(tmp_path, PORT=str(port)),
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
        "import subprocess, sys, time; from models_app.lifeline import tied\n"
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
