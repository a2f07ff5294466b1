"""No request of N bytes costs more than O(N): the worst bodies we know, at every route."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from everlearn.access import SCOPES
from everlearn.body_limits import MIB, limit_of
from everlearn.doors import ROUTES
from everlearn.texts import unfit_field
from feedback_app import batch_files
from feedback_app.secrecy import without_secrets
from models_app.learning.schema import Feature, InvalidInstances, Schema
from models_app.models import Prediction
from models_app.refusals import InvalidInput
from tests.everlearn.hostile_bodies import BODIES, CSV, NDJSON, made
from tests.everlearn.routes import Route, routes
from tests.factories import SCHEMA, make_champion

pytestmark = pytest.mark.django_db

SMALL, LARGE, LARGEST = 2**16, MIB, 10 * MIB
# CPU, not wall-clock: the machine may be busy. Below the floor a time is noise.
FLOOR, GROWTH = 0.05, 32
# Ten thousand items take some 50 µs each, however short they are.
SECONDS_A_BYTE, SECONDS_BESIDE = 1e-6, 1.5
# Django takes apart an escaped form of 1 MiB in 75 MiB; longer ones are for staff.
BYTES_A_BYTE, BYTES_BESIDE = 16, 96 * MIB
ANSWER_A_BYTE, ANSWER_BESIDE = 3, 2 * MIB

# They wait for the worker, whatever the body is, which they do not look at.
WAITING = ("reload", "default-reload")
POSTED = [route for route in routes() if "POST" in ROUTES.get(route.name, ())]
# A child process makes the answer of this one, whatever the query is.
MADE_BY_A_CHILD = ("training-data",)
READ = [
    route
    for route in routes()
    if "GET" in ROUTES.get(route.name, ()) and route.name not in MADE_BY_A_CHILD
]


def _memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def cost_of(do: Callable[[], Any]) -> tuple[float, int, Any]:
    """Seconds of CPU, bytes of memory at the peak, and what was returned."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        before = _memory("VmRSS")
    except OSError:  # no Linux, or no right to
        before = 0
    began = time.process_time()
    returned = do()
    seconds = time.process_time() - began
    return seconds, _memory("VmHWM") - before if before else 0, returned


def post(client: Client, path: str, kind: str, body: bytes) -> Any:
    return client.generic("POST", path, body, kind)


def refuse_dear(name: str, size: int, seconds: float, memory: int, answer: Any) -> None:
    told = f"{name}, {size} bytes: {answer.status_code}"
    assert answer.status_code < 500, told
    assert seconds <= size * SECONDS_A_BYTE + SECONDS_BESIDE, f"{told} {seconds:.2f} s"
    assert memory <= size * BYTES_A_BYTE + BYTES_BESIDE, f"{told} +{memory / MIB:.0f} MiB"
    length = len(answer.content)
    assert length <= size * ANSWER_A_BYTE + ANSWER_BESIDE, f"{told} answered {length} bytes"
    path = answer.wsgi_request.path_info
    if path.startswith("/api/"):
        assert answer.headers["Content-Type"].startswith("application/json"), told
        assert len(answer.json().get("errors", ())) <= 100, told


@pytest.mark.parametrize("route", POSTED, ids=[route.name for route in POSTED])
def test_no_body_costs_more_than_in_proportion_to_its_length(
    route: Route, client_with: Callable[..., APIClient]
) -> None:
    """H1 to H4: at 64 KiB, 1 MiB and 10 MiB, for a key with every scope."""
    make_champion()
    client = APIClient() if route.name in WAITING else client_with(*SCOPES)
    path, limit = route.path, limit_of(route.path)
    post(client, path, "application/json", b"{}")
    for name, (kind, make) in BODIES.items():
        seconds: dict[int, float] = {}
        for size in (SMALL, LARGE, LARGEST):
            # What is refused for its length alone is not worth making again and again, and the
            # two routes of feedback read their bodies alike.
            if size == LARGEST and name != "ones" and (size > limit or route.name != "feedback"):
                continue
            body = make(size) if size == LARGEST else made(name, size)
            seconds[size], memory, answer = cost_of(lambda: post(client, path, kind, body))  # noqa: B023
            refuse_dear(name, len(body), seconds[size], memory, answer)
            if len(body) > limit:
                assert answer.status_code in (302, 413), name
                assert seconds[size] < SECONDS_BESIDE
        growth = seconds[LARGE] / max(seconds[SMALL], FLOOR)
        assert growth <= GROWTH, f"{name}: {seconds[SMALL]:.3f} s, then {seconds[LARGE]:.3f} s"
    assert Prediction.objects.count() <= 1000


@pytest.mark.parametrize("route", READ, ids=[route.name for route in READ])
def test_no_query_and_no_header_costs_much(
    route: Route, client_with: Callable[..., APIClient]
) -> None:
    """As long as gunicorn lets them be."""
    make_champion()
    client, size = client_with(*SCOPES), 2**15
    asked: list[tuple[str, dict[str, Any]]] = [
        ("?" + "a&" * (size // 2), {}),
        ("?" + "%C3%A4&" * (size // 7), {}),
        ("?since=" + "1" * size, {}),
        ("?model=" + "x" * size, {}),
        ("?format=" + "x" * size, {}),
        ("?cursor=" + "x" * size, {}),
        ("", {"HTTP_ACCEPT": "text/html;q=0.1," * (size // 16)}),
        ("", {"HTTP_COOKIE": "a=b;" * (size // 4)}),
        ("", {"HTTP_ACCEPT_LANGUAGE": "aa-" * (size // 3)}),
        ("", {"HTTP_X_REQUEST_ID": "x" * size}),
        ("", {"HTTP_IDEMPOTENCY_KEY": "x" * size}),
        ("", {"HTTP_X_FORWARDED_FOR": "1," * (size // 2)}),
        ("", {"HTTP_AUTHORIZATION": "Bearer " + "x." * (size // 2)}),
        ("", {"HTTP_IF_NONE_MATCH": '"a",' * (size // 4)}),
    ]
    for query, headers in asked:
        seconds, _, answer = cost_of(lambda: client.get(route.path + query, **headers))  # noqa: B023
        what = f"{query[:12]} {list(headers)}"
        assert answer.status_code < 500 or route.name == "ready", what
        assert seconds <= SECONDS_BESIDE, f"{what}: {seconds:.2f} s"


def test_a_list_of_ten_thousand_wrong_items_is_answered_item_by_item_with_100_problems(
    api: APIClient,
) -> None:
    """S4: 8.3 MiB took 154 s of CPU and 1.5 GB."""
    make_champion()
    kind, make = BODIES["unknown features of items"]
    body = make(LARGEST)

    seconds, memory, answer = cost_of(lambda: post(api, "/api/feedback/", kind, body))

    results = answer.json()["results"]
    told = [error for result in results for error in result["errors"]]
    assert [result["index"] for result in results] == list(range(len(results)))
    assert {result["code"] for result in results} == {400}
    assert all(result["errors"] for result in results)
    assert sum(error["code"] != "too_many_problems" for error in told) == 100
    assert sum("did you mean" in error["detail"] for error in told) <= 10
    assert seconds < 8, seconds
    assert memory < 150 * MIB


def test_the_good_items_of_a_list_are_stored_whatever_was_wrong_before(api: APIClient) -> None:
    make_champion()
    wrong = {"model": "leaves", "features": {f"x{n}": 1 for n in range(60)}, "value": "oak"}
    right = {"model": "leaves", "features": {"length": 9.0, "width": 1.0}, "value": "oak"}
    unknown = {"model": "no-such", "features": {}, "value": "oak"}

    answer = api.post("/api/feedback/", [*[wrong] * 5, right, unknown, {"modle": 1}, right])

    codes = [result["code"] for result in answer.json()["results"]]
    assert codes == [400] * 5 + [201, 404, 400, 201]
    assert answer.json()["results"][6]["errors"][0]["code"] == "too_many_problems"


WIDE = Schema(tuple(Feature(f"feature_{n:05d}", "number") for n in range(5000)))


def test_no_hint_costs_more_for_a_model_of_many_features() -> None:
    instances = [{f"feature_{n:05d}x{m}": 1 for n in range(1000)} for m in range(10)]

    def check() -> list[Any]:
        with pytest.raises(InvalidInstances) as refused:
            WIDE.check(instances)
        return refused.value.problems

    seconds, _, problems = cost_of(check)

    assert len(problems) == 100
    assert seconds < SECONDS_BESIDE


@pytest.mark.parametrize(
    "name", [name for name, (kind, _) in BODIES.items() if kind in (CSV, NDJSON)]
)
def test_no_file_of_rows_costs_more_than_in_proportion(name: str) -> None:
    kind, make = BODIES[name]

    def read() -> tuple[int, int]:
        rows = told = 0
        for row in batch_files.rows(io.BytesIO(body), "csv" if kind == CSV else "ndjson", SCHEMA):
            rows, told = rows + 1, told + len(row.error)
        return rows, told

    for size in (SMALL, LARGE):
        body = make(size)
        if name != "a header of columns":
            seconds, memory, (rows, told) = cost_of(read)
            # A row as short as these is parsed and checked in some 10 µs.
            assert seconds <= 10 * size * SECONDS_A_BYTE + SECONDS_BESIDE
            assert memory <= size * BYTES_A_BYTE + BYTES_BESIDE
            assert told <= 100 * rows + 10_000


def test_a_header_of_a_million_columns_is_refused_at_once() -> None:
    _, make = BODIES["a header of columns"]

    def check() -> None:
        with pytest.raises(InvalidInput):
            batch_files.header_of(make(MIB), WIDE)

    seconds, _, _ = cost_of(check)

    assert seconds < MIB * SECONDS_A_BYTE + SECONDS_BESIDE


@pytest.mark.parametrize(
    "text",
    [
        "a" * MIB,
        "a://" * (MIB // 4),
        "a://b:" * (MIB // 6),
        "a://b@" * (MIB // 6),
        "://@" * (MIB // 4),
    ],
    ids=["a word", "schemes", "users", "hosts", "signs"],
)
def test_looking_for_secrets_takes_time_in_proportion_to_the_text(text: str) -> None:
    seconds, _, _ = cost_of(lambda: without_secrets(text))

    assert seconds < MIB * SECONDS_A_BYTE + SECONDS_BESIDE


def test_looking_for_unfit_text_takes_time_in_proportion_to_the_form() -> None:
    for unit in (b"%C3%A4", b"&a=%C3%A4", b"%41", b"&", b"%"):
        seconds, memory, _ = cost_of(lambda: unfit_field(b"%C3%A4" + unit * (LARGEST // len(unit))))  # noqa: B023
        assert seconds < LARGEST * SECONDS_A_BYTE + SECONDS_BESIDE, unit
        assert memory < LARGEST * BYTES_A_BYTE, unit
