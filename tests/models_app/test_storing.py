from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection
from rest_framework.test import APIClient

from feedback_app.models import Feedback
from models_app import storing
from models_app.models import Prediction
from models_app.refusals import Unavailable
from tests.blockade import held_database
from tests.factories import LONG, make_champion

URL = "/api/models/leaves/predict/"
ASKED = {"instances": [LONG]}


def sqlite(name: str) -> sqlite3.Error:
    cause = sqlite3.OperationalError(name)
    cause.sqlite_errorcode = getattr(sqlite3, name)
    return cause


def broken(cause: Exception) -> OperationalError:
    """The error as Django raises it."""
    error = OperationalError(str(cause))
    error.__cause__ = cause
    return error


BROKEN = [
    (sqlite("SQLITE_BUSY"), "storage_busy"),
    (sqlite("SQLITE_BUSY_SNAPSHOT"), "storage_busy"),
    (sqlite("SQLITE_FULL"), "storage_full"),
    (sqlite("SQLITE_IOERR_WRITE"), "storage_unavailable"),
    (sqlite("SQLITE_CANTOPEN"), "storage_unavailable"),
    (psycopg.errors.LockNotAvailable("x"), "storage_busy"),
    (psycopg.errors.QueryCanceled("x"), "storage_busy"),
    (psycopg.errors.TooManyConnections("x"), "storage_busy"),
    (psycopg.errors.DiskFull("x"), "storage_full"),
    (psycopg.errors.AdminShutdown("x"), "storage_unavailable"),
    (psycopg.OperationalError("connection refused"), "storage_unavailable"),
]


@pytest.fixture(autouse=True)
def _forget_troubles() -> Iterator[None]:
    yield
    storing._troubles.clear()


def predict(client: APIClient) -> tuple[int, str | None]:
    answer = client.post(URL, ASKED)
    return answer.status_code, answer.json().get("errors", [{"code": None}])[0]["code"]


@pytest.mark.parametrize(("cause", "code"), BROKEN)
def test_each_error_of_the_database_has_a_code(cause: Exception, code: str) -> None:
    refusal = storing.refusal_of(broken(cause))

    assert refusal
    assert refusal.code == code


@pytest.mark.django_db(transaction=True)
def test_a_prediction_is_refused_while_another_program_holds_the_database(
    api: APIClient,
) -> None:
    """P3"""
    make_champion()

    with held_database():
        began = time.monotonic()
        answer = api.post(URL, ASKED)
        waited = time.monotonic() - began

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (503, "storage_busy")
    assert answer["Retry-After"]
    assert waited < 6
    assert api.get("/ready").status_code == 200
    began = time.monotonic()
    assert predict(api) == (200, None)
    assert time.monotonic() - began < 2
    assert Prediction.objects.count() == 1
    assert "database" not in api.get("/ready").json()["degraded"]


@pytest.mark.django_db(transaction=True)
def test_feedback_is_refused_while_another_program_holds_the_database(api: APIClient) -> None:
    """P3"""
    make_champion()
    body = {"model": "leaves", "features": LONG, "value": "oak"}

    with held_database():
        began = time.monotonic()
        answer = api.post("/api/feedback/", body)
        waited = time.monotonic() - began

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (503, "storage_busy")
    assert answer["Retry-After"]
    assert waited < 6
    assert api.post("/api/feedback/", body).status_code == 201
    assert Feedback.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_key_that_was_not_used_for_long_does_not_double_the_wait(
    client_with: Callable[..., APIClient],
) -> None:
    """P3"""
    make_champion()
    client = client_with("predict")

    with held_database():
        began = time.monotonic()
        assert predict(client) == (503, "storage_busy")
        assert time.monotonic() - began < 6


@pytest.mark.django_db(transaction=True)
def test_those_who_wait_leave_threads_for_others() -> None:
    """P3"""
    make_champion()

    def ask(_: int) -> tuple[float, tuple[int, str | None]]:
        began = time.monotonic()
        try:
            return time.monotonic() - began, predict(APIClient())
        finally:
            connection.close()

    with held_database(), ThreadPoolExecutor(12) as pool:
        answers = [pool.submit(ask, number) for number in range(12)]
        waited = sorted(_timed(answers))

    assert waited[:6][-1] < storing.PATIENCE + 2
    assert waited[-1] < 6.5


def _timed(answers: list[Any]) -> list[float]:
    began, took = time.monotonic(), []
    for answer in answers:
        answer.add_done_callback(lambda _: took.append(time.monotonic() - began))
    assert {answer.result()[1] for answer in answers} == {(503, "storage_busy")}
    return took


def test_nobody_waits_behind_writes_that_are_stuck() -> None:
    turns, free, inside = storing.Turns(1), threading.Event(), threading.Event()

    def stuck() -> None:
        with turns.take():
            inside.set()
            free.wait(30)

    thread = threading.Thread(target=stuck)
    thread.start()
    inside.wait(30)
    try:
        with pytest.raises(Unavailable), turns.take():
            pass
        began = time.monotonic()
        with pytest.raises(Unavailable), turns.take():
            pass
        assert time.monotonic() - began < storing.PATIENCE / 2
    finally:
        free.set()
        thread.join()
    with turns.take():
        pass


def test_a_write_that_waits_long_turns_nobody_away_while_others_get_through() -> None:
    turns, free, inside = storing.Turns(2), threading.Event(), threading.Event()

    def unlucky() -> None:
        with turns.take():
            inside.set()
            free.wait(30)

    with ThreadPoolExecutor(3) as pool:
        waits = pool.submit(unlucky)
        inside.wait(30)
        until = time.monotonic() + storing.PATIENCE * 1.5

        def write() -> int:
            through = 0
            while time.monotonic() < until:
                with turns.take():
                    through += 1
                    time.sleep(0.01)
                time.sleep(0.01)
            return through

        others = [pool.submit(write) for _ in range(2)]
        try:
            assert all(other.result() > 0 for other in others)
        finally:
            free.set()
        waits.result()


@pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite's own limit stands for a disk")
@pytest.mark.django_db(transaction=True)
def test_a_full_disk_lets_nothing_be_answered_and_needs_no_restart(api: APIClient) -> None:
    """P4"""
    make_champion()
    assert predict(api) == (200, None)
    pages = "PRAGMA max_page_count"
    with connection.cursor() as cursor:
        usual = cursor.execute(pages).fetchone()[0]
        cursor.execute(f"{pages} = 1")  # no fewer than there are

    before = 0
    try:
        while predict(api)[0] == 200:
            before += 1
        assert predict(api) == (503, "storage_full")
        ready = api.get("/ready")
        assert (ready.status_code, ready.json()["ready"]) == (503, False)
        assert "database" in ready.json()["degraded"]
        assert api.get("/health").status_code == 200
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"{pages} = {usual}")

    assert predict(api) == (200, None)
    assert api.get("/ready").status_code == 200
    assert Prediction.objects.count() == before + 2
