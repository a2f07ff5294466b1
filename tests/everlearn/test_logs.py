"""everlearn/logs.py and request_id.py: one line a record, with ids, without secrets. W6, W7."""

from __future__ import annotations

import io
import json
import logging
import logging.config
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test import Client
from django.urls import path

from everlearn import urls as real_urls
from everlearn.configuration import read
from everlearn.logs import ReadableLines, logging_settings, secrets_of
from models_app.tracing import tracing
from tests.factories import LONG, make_champion, make_model

CANARY = "c4n4ry-5ecret"
KEY = f"{'a' * 8}.{'B' * 32}"
GIVEN = {
    "EVERLEARN_SECRET_KEY": f"key-{CANARY}",
    "DATABASE_URL": "postgres://ada:p%40ss-c4n4ry@127.0.0.1/el",
    "EVERLEARN_LOG_FORMAT": "json",
}
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def written() -> Iterator[Lines]:
    """What the process logs as JSON, with the settings of GIVEN."""
    stream = io.StringIO()
    told = logging_settings(read(GIVEN))
    told["handlers"]["stderr"]["stream"] = stream
    before = logging.getLogger().handlers[:]
    logging.config.dictConfig(told)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logging.config.dictConfig(settings.LOGGING)
    logging.getLogger().handlers[:] = before


def _break(request: Any) -> HttpResponse:
    password = CANARY  # in a local variable, as a trace with locals would show it
    raise RuntimeError(f"no answer from https://ada:{password}@data.example/x?token={password}")


urlpatterns = [path("api/broken/", _break), path("broken", _break), *real_urls.urlpatterns]
handler404, handler500 = real_urls.handler404, real_urls.handler500


@pytest.mark.django_db
def test_a_request_is_one_line_with_its_ids_and_nothing_that_was_sent(client, key, written):
    make_champion(make_model())

    answer = client.post(
        f"/api/models/leaves/predict/?token={CANARY}",
        {"instances": [LONG], "subject": "ada@example.org"},
        content_type="application/json",
        headers={"X-Request-ID": "trace-8", "Authorization": f"Bearer {key('predict')}"},
    )

    (line,) = [one for one in written() if one["logger"] == "everlearn.access"]
    assert line["request_id"] == "trace-8"
    assert line["predictions"] == [answer.json()["predictions"][0]["id"]]
    assert (line["method"], line["status"]) == ("POST", 200)
    assert line["route"] == "api/models/<str:name>/predict/"
    assert line["path"] == "/api/models/leaves/predict/"
    assert line["ms"] > 0
    assert not any(word in json.dumps(line) for word in (CANARY, "ada@example.org", "length"))


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/api/broken/", "/broken"])
@pytest.mark.urls(__name__)
def test_a_failure_shows_its_request_id_and_hides_every_canary(settings, address, written):
    """W6: from settings, local variables, headers and addresses with passwords."""
    client = Client(raise_request_exception=False, headers={"Accept": "text/html"})

    answer = client.get(
        f"{address}?q={CANARY}",
        headers={"Authorization": f"Bearer {CANARY}", "Cookie": f"x={CANARY}", "X-Y": CANARY},
    )

    shown, logged = answer.content.decode(), json.dumps(written())
    assert answer.status_code == 500
    assert answer["X-Request-ID"] in shown or address.startswith("/api/")
    assert CANARY not in shown + logged
    assert "RuntimeError" not in shown
    assert "RuntimeError: no answer from https://data.example/x" in logged
    assert any("exc_info" in line and line["request_id"] in answer["X-Request-ID"]
               for line in written())  # fmt: skip


@pytest.mark.parametrize(
    ("said", "hidden"),
    [
        (f"the key is key-{CANARY}", CANARY),
        ("password p@ss-c4n4ry is wrong", "c4n4ry"),
        ("redis://:hunter22@cache:6379/0 is away", "hunter22"),
        (f"Authorization: Bearer {KEY}", "BBBB"),
        (f"the key {KEY} was used", "BBBB"),
        (f"GET /f/{CANARY}/", CANARY),
        (f"Error handling request /predict?key={CANARY}", CANARY),
        (f"https://data.example/x?sig={CANARY}", CANARY),
    ],
)
def test_what_looks_like_a_secret_or_is_one_of_ours_is_taken_out(written, said, hidden):
    logging.getLogger("some.library").error(said)

    (line,) = written()
    assert hidden not in json.dumps(line)


@pytest.mark.parametrize(
    "value", ["a\nb", "a\r\nFAKE", "\x1b[31mred", "a\x00b", "a\u2028b", '"}\n{"']
)
def test_no_value_breaks_a_line(written, value):
    """W7: neither line ends nor what a terminal obeys."""
    logging.getLogger("some.library").error("said %s", value)

    (line,) = written()
    assert line["message"] == f"said {value}"

    record = logging.LogRecord("x", logging.ERROR, "", 0, "said %s", (value,), None)
    readable = ReadableLines().format(record)
    assert len(readable.splitlines()) == 1
    assert "\x1b" not in readable


@pytest.mark.parametrize("address", ["/api/%0A%1B[31m/", "/%0d%0aSet-Cookie:x", "/a%C2%85b"])
def test_no_address_breaks_a_line(client, written, address):
    """W7."""
    client.get(address, headers={"X-Request-ID": "a\x1bb", "User-Agent": "\x1b[0m"})

    assert [line["logger"] for line in written()] == ["everlearn.access"]


@pytest.mark.django_db
def test_a_link_of_somebody_is_in_no_line(client, written):
    """W7: whoever has the link may speak."""
    client.get(f"/f/{CANARY}")
    client.get(f"/f/{CANARY}/more?x={CANARY}")

    assert len(written()) == 2
    assert CANARY not in json.dumps(written())


@pytest.mark.django_db
def test_what_django_says_of_a_request_afterwards_has_its_id_too(client, written):
    answer = client.get("/ready")

    assert answer.status_code == 503
    assert [line["request_id"] for line in written()] == [answer["X-Request-ID"]] * 2


def test_what_a_run_logs_carries_its_id(written):
    with tracing(run=7):
        logging.getLogger("feedback_app.attempts").info("fitted")
    logging.getLogger("feedback_app.attempts").info("idle")

    inside, outside = written()
    assert inside["run"] == 7
    assert "run" not in outside


def test_extra_attributes_of_a_record_stay_out(written):
    logging.getLogger("some.library").error("said", extra={"request": CANARY, "body": CANARY})

    assert CANARY not in json.dumps(written())


def test_the_secrets_among_the_settings_are_known_by_their_names():
    found = secrets_of(read(GIVEN))

    assert {f"key-{CANARY}", "p@ss-c4n4ry", "p%40ss-c4n4ry"} <= set(found)


@pytest.mark.parametrize("form", ["json", "line"])
def test_the_form_is_a_setting(form):
    told = logging_settings(read({"EVERLEARN_LOG_FORMAT": form}))

    assert (told["formatters"]["line"]["()"] is ReadableLines) == (form == "line")
