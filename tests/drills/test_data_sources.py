"""Hostile and changing data sources, served to a whole instance (H5, W4, new rows)."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.data_server import Source, leads_to, never_ends, sends, serving, trickles
from tests.factories import leaves
from tests.instance import DECLARED, Instance, wait_for

# Whoever shares the processors makes everything slow; the promises are of a quiet machine.
PATIENCE = 90
ENDED = {"succeeded", "rejected", "held", "failed"}
POLICY = """
[models.leaves.retrain]
new_rows = 5
cooldown = "1s"
"""


def table(rows: int) -> Callable[..., None]:
    return sends(leaves(rows).to_csv(index=False).encode(), ETag=f'"{rows}"')


@pytest.fixture(scope="module")
def source() -> Iterator[Source]:
    with serving() as server:
        server.answers["/leaves.csv"] = table(120)
        yield server


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory, source: Source) -> Iterator[Instance]:
    home = tmp_path_factory.mktemp("sources")
    declared = DECLARED.replace("leaves.csv", source.at("/leaves.csv")) + POLICY
    (home / "tmp").mkdir()
    settings = {
        "EVERLEARN_DATA_ALLOW": "127.0.0.1/32",
        "EVERLEARN_DATA_LIMIT": "16",
        "EVERLEARN_DATA_TIMEOUT": "3",
        "EVERLEARN_DATA_LOOK": "1",
        "TMPDIR": str(home / "tmp"),
    }
    with Instance(home, declared=declared, **settings) as started:
        started.start()
        yield started


@pytest.fixture
def client(instance: Instance) -> Iterator[httpx.Client]:
    with instance.client() as client:
        yield client


def parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file, compression="zstd", store_schema=False)
    return file.getvalue()


def one_text_a_million_times() -> bytes:
    places = pa.array(np.zeros(1_000_000, dtype=np.int32))
    texts = pa.DictionaryArray.from_arrays(places, pa.array(["x" * 1_000_000]))
    return parquet(pa.table({"length": texts}))


BOMBS: dict[str, tuple[Callable[[], Callable[..., None]], str]] = {
    "gzip": (lambda: sends(gzip.compress(bytes(10_000_000))), "is a gzip file"),
    "cell": (lambda: sends(b"length\n" + b"x" * 12_000_000), "has a cell of 12000000"),
    "endless": (lambda: never_ends, "more than 16 MiB"),
    "trickle": (lambda: trickles, "took too long to arrive"),
    "dictionary": (lambda: sends(one_text_a_million_times()), "unpacks to more than"),
    "elsewhere": (lambda: leads_to("http://169.254.169.254/"), "not a public address"),
}


def ended(client: httpx.Client, number: int) -> dict[str, Any]:
    def shown() -> dict[str, Any]:
        answer: dict[str, Any] = client.get(f"/api/runs/{number}/").json()
        return answer

    wait_for(lambda: shown()["status"] in ENDED, PATIENCE)
    return shown()


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_hostile_source_ends_its_run_at_once_and_by_its_name(
    instance: Instance, client: httpx.Client, source: Source, bomb: str
) -> None:
    make, words = BOMBS[bomb]
    source.answers[f"/{bomb}"] = make()

    asked = client.post("/api/models/leaves/retrain/", json={"data": source.at(f"/{bomb}")})
    run = ended(client, asked.json()["run"])

    code = "url_not_allowed" if bomb == "elsewhere" else "data_source_rejected"
    assert (run["status"], run["attempts"]) == ("failed", 1)
    assert run["error"].startswith(f"{code}: ")
    assert words in run["error"]
    # What was fetched is gone with the run, and what serves goes on.
    assert [path for path in (instance.home / "tmp").rglob("*") if _is_large(path)] == []
    assert client.get("/api/models/leaves/").json()["version"] == 1


def _is_large(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 2**16


def test_new_rows_start_one_run_which_learns_from_them(
    client: httpx.Client, source: Source
) -> None:
    """After all the bombs: the worker is as it was."""
    last = runs(client)[0]["id"]
    source.answers["/leaves.csv"] = table(126)

    wait_for(lambda: runs(client)[0]["id"] > last, PATIENCE)
    run = ended(client, runs(client)[0]["id"])

    assert run["trigger"] == "new_rows"
    assert run["reason"].startswith("6 new rows in the data source since the last snapshot")
    assert run["status"] != "failed"
    # Looked at again once the cool-down is over, it has nothing new.
    looks = len(source.looked_at)
    wait_for(lambda: len(source.looked_at) > looks + 2, PATIENCE)
    assert runs(client)[0]["id"] == run["id"]


def runs(client: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/api/runs/").json()["results"]
    return found
