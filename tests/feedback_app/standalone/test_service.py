"""The HTTP client of a training elsewhere, against a server that answers what it is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.conf import LazySettings

from feedback_app.standalone.heartbeat import Heartbeat, Interrupted
from feedback_app.standalone.main import interruptible
from feedback_app.standalone.service import Service, ServiceAway, ServiceRefused, configured

KEY = "canary01.secret"
Answer = tuple[int, Any, dict[str, str]]
RUN: Answer = (200, {"id": 7, "status": "running"}, {})


class Told:
    """A server that gives `answers` in turn, then the last for ever, and keeps what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, Any]] = []
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                authorized = self.headers["Authorization"] == f"Bearer {KEY}"
                told.asked.append((self.command, self.path, json.loads(sent or "null")))
                status, body, headers = told.answers[0] if authorized else (401, {}, {})
                del told.answers[: len(told.answers) > 1]
                content = json.dumps(body).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST  # noqa: N815 - their names

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{self.server.server_port}/below"
        self.service = Service(f"{address}/reload-model", KEY)


Tells = Callable[..., Told]


@pytest.fixture
def tells() -> Iterator[Tells]:
    started: list[Told] = []

    def start(*answers: Answer) -> Told:
        started.append(Told(*answers))
        return started[-1]

    yield start
    for told in started:
        told.server.shutdown()
        told.server.server_close()


def refusal(status: int, code: str, detail: str = "no", **headers: str) -> Answer:
    return status, {"type": "error", "errors": [{"code": code, "detail": detail}]}, headers


@pytest.mark.parametrize(
    "url", ["/reload-model", "/reload-model/", "/api/models/wine/reload/", "/api/models/w/reload"]
)
def test_the_api_is_where_the_reload_url_begins(url: str) -> None:
    assert Service(f"https://host.example/below{url}", KEY).address == "https://host.example/below"


def test_what_passes_is_asked_again_and_the_service_says_when(tells: Tells) -> None:
    busy = refusal(503, "storage_busy", **{"Retry-After": "0"})
    early = refusal(409, "run_not_handed_over", **{"Retry-After": "0"})
    told = tells(busy, refusal(429, "throttled", **{"Retry-After": "0"}), early, RUN)

    run = told.service.report(7, {"status": "running"}, patience=5)

    assert run["id"] == 7
    assert told.asked == [("POST", "/below/api/runs/7/report/", {"status": "running"})] * 4


def test_what_does_not_pass_is_refused_at_once_in_one_line_without_the_key(tells: Tells) -> None:
    told = tells(refusal(409, "run_taken", "run 7 is trained by\nhttps://github.example/1"))

    with pytest.raises(ServiceRefused) as refused:
        told.service.report(7, {"status": "running"})

    assert str(refused.value).endswith("409: run 7 is trained by https://github.example/1")
    assert (refused.value.code, len(told.asked)) == ("run_taken", 1)
    assert KEY not in repr(told.service) + str(refused.value)


def test_the_key_goes_to_no_other_place(tells: Tells) -> None:
    other = tells(RUN)
    told = tells((307, {}, {"Location": f"{other.service.address}/reload-model"}))

    with pytest.raises(ServiceRefused, match="let HOT_RELOAD_URL be the address"):
        told.service.reload()

    assert other.asked == []


def test_a_service_that_stays_away_is_given_up(tells: Tells) -> None:
    told = tells(refusal(503, "storage_busy", "The database is busy."))

    with pytest.raises(ServiceAway, match="answered 503: The database is busy"):
        told.service.report(7, {"status": "running"}, patience=1.5)

    assert len(told.asked) == 2


def test_a_key_that_may_not_read_learns_nothing_of_what_serves(tells: Tells) -> None:
    assert tells((200, {"version": 3}, {})).service.serving("wine") == 3
    assert tells(refusal(403, "permission_denied")).service.serving("wine") is None


def test_half_a_service_is_refused(settings: LazySettings) -> None:
    assert configured() is None

    settings.EVERLEARN_API_KEY = KEY

    with pytest.raises(ServiceRefused, match="EVERLEARN_API_KEY is set, but HOT_RELOAD_URL is not"):
        configured()


def test_a_run_that_somebody_ended_interrupts_its_training() -> None:
    runs = [{"status": "running"}, {"status": "cancelled"}]
    with (
        interruptible(),
        pytest.raises(Interrupted),
        Heartbeat(lambda: runs.pop(0), every=0.01) as heartbeat,
    ):
        time.sleep(20)

    assert heartbeat.ended == {"status": "cancelled"}


def test_a_service_that_is_away_for_a_while_does_not_stop_the_training() -> None:
    beats: list[int] = []
    again = threading.Event()

    def tell() -> dict[str, Any]:
        beats.append(1)
        if len(beats) > 2:
            again.set()
        raise ServiceAway("it is away")

    with Heartbeat(tell, every=0.01) as heartbeat:
        assert again.wait(20)

    assert heartbeat.ended is None
