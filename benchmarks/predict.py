"""CPU of one one-row prediction, EverLearn beside the way it replaces: `make bench`.

Both serve the same version of the wine model, one process each, in the same run; CPU is that of
the process that answers, read before and after the requests.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import psutil
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
REQUESTS = 1500
CONNECTIONS = (1, 8)
MODELS = f"""
default = "wine"
[models.wine]
data = "{ROOT / "data/wine.csv"}"
target = "cultivar"
public = true
estimator = "logistic"
"""


@dataclass(frozen=True)
class Measured:
    """Milliseconds of CPU a request, by number of connections, and MiB resident."""

    name: str
    milliseconds: dict[int, float]
    mebibytes: float


def main() -> None:
    """Run both, print one table, and exit 1 when EverLearn needs more than a third."""
    console = Console()
    with tempfile.TemporaryDirectory() as home, console.status("starting EverLearn"):
        with everlearn(Path(home)) as (port, process):
            console.print("EverLearn is up; measuring")
            ours = measure("EverLearn", port, process)
        with seed(Path(home)) as (port, process):
            console.print("the seed's way is up; measuring")
            theirs = measure("FastAPI + mlflow.sklearn + DataFrame", port, process)
    console.print(table(ours, theirs))
    worst = max(ours.milliseconds[n] / theirs.milliseconds[n] for n in CONNECTIONS)
    sys.exit(worst > 1 / 3)


@contextmanager
def everlearn(home: Path) -> Iterator[tuple[int, psutil.Process]]:
    """A fresh installation with one web process, ready; and that process."""
    models = home / "models.toml"
    models.write_text(MODELS)
    port = free_port()
    environment = {
        "EVERLEARN_HOME": str(home / "var"), "EVERLEARN_MODELS": str(models),
        "PORT": str(port), "WEB_CONCURRENCY": "1", "EVERLEARN_ANONYMOUS_PER_MINUTE": "100000000",
    }  # fmt: skip
    with running([sys.executable, "manage.py", "up"], environment) as up:
        wait_for(port, "/ready")
        web = [
            child
            for child in psutil.Process(up.pid).children(recursive=True)
            if child.status() != psutil.STATUS_ZOMBIE and "gunicorn" in " ".join(child.cmdline())
        ]
        yield port, max(web, key=lambda child: child.create_time())


@contextmanager
def seed(home: Path) -> Iterator[tuple[int, psutil.Process]]:
    """The seed's way on the MLflow database that EverLearn left behind."""
    port = free_port()
    argv = ["-m", "uvicorn", "benchmarks.seed_server:app", "--port", str(port), "--no-access-log"]
    uri = f"sqlite:///{home / 'var/mlflow.db'}"
    with running([sys.executable, *argv], {"MLFLOW_TRACKING_URI": uri}) as server:
        wait_for(port, "/docs")
        yield port, psutil.Process(server.pid)


@contextmanager
def running(argv: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A command of this project, ended politely afterwards."""
    process = subprocess.Popen(
        argv, cwd=ROOT, env={**os.environ, **environment},
        stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def measure(name: str, port: int, process: psutil.Process) -> Measured:
    """CPU a request at each number of connections, after a warm-up."""
    row = pd.read_csv(ROOT / "data/wine.csv").drop(columns="cultivar").iloc[:1]
    body = json.dumps(row.to_dict(orient="list"))
    ask(port, body, REQUESTS // 10)
    milliseconds = {}
    for connections in CONNECTIONS:
        before = sum(process.cpu_times()[:2])
        each = REQUESTS // connections
        with ThreadPoolExecutor(connections) as pool:
            list(pool.map(partial(ask, port, body), [each] * connections))
        spent = sum(process.cpu_times()[:2]) - before
        milliseconds[connections] = 1000 * spent / (each * connections)
    return Measured(name, milliseconds, process.memory_info().rss / 2**20)


def ask(port: int, body: str, times: int) -> None:
    """POST `body` to /predict over one kept connection; every answer must be 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for _ in range(times):
        connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"/predict answered {answer.status}: {said[:200]!r}")
    connection.close()


def wait_for(port: int, path: str, seconds: float = 180) -> None:
    """Return when `path` answers 200. Raises TimeoutError."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise TimeoutError(f"{path} on port {port} was not ready within {seconds} s")


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def table(ours: Measured, theirs: Measured) -> Table:
    """Both, side by side."""
    shown = Table("server", *(f"CPU ms, {n} conn." for n in CONNECTIONS), "MiB")
    for one in (ours, theirs):
        shown.add_row(
            one.name, *(f"{one.milliseconds[n]:.2f}" for n in CONNECTIONS), f"{one.mebibytes:.0f}"
        )
    ratios = (f"{ours.milliseconds[n] / theirs.milliseconds[n]:.2f}" for n in CONNECTIONS)
    shown.add_row("ratio", *ratios, f"{ours.mebibytes / theirs.mebibytes:.2f}")
    return shown


if __name__ == "__main__":
    main()
