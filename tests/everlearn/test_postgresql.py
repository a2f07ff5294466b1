"""everlearn/postgresql: a connection that the server ended is noticed without asking it."""

from collections.abc import Iterator

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, close_old_connections, connection

from tests import databases

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="for PostgreSQL only"),
]


@pytest.fixture
def other() -> Iterator[psycopg.Connection]:
    """Another client of the same server, to look on from outside."""
    with psycopg.connect(databases.server(), autocommit=True) as another:
        yield another


def _pid() -> int:
    assert connection.connection
    return int(connection.connection.info.backend_pid)


def _last_statement(other: psycopg.Connection) -> str:
    row = other.execute("SELECT query FROM pg_stat_activity WHERE pid = %s", [_pid()]).fetchone()
    assert row
    return str(row[0])


def test_a_healthy_connection_is_kept_and_not_asked(other) -> None:
    User.objects.count()
    before, pid = _last_statement(other), _pid()

    close_old_connections()  # what begins a request
    connection.close_if_health_check_failed()

    assert (_last_statement(other), _pid()) == (before, pid)


def test_a_connection_that_the_server_ended_is_replaced_before_it_is_used(other) -> None:
    User.objects.count()
    pid = _pid()
    other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    close_old_connections()

    assert User.objects.count() == 0
    assert _pid() != pid


def test_after_an_error_the_server_is_asked(other) -> None:
    User.objects.count()
    other.execute("SELECT pg_terminate_backend(%s, 5000)", [_pid()])
    with pytest.raises(OperationalError):
        User.objects.count()

    close_old_connections()

    assert User.objects.count() == 0


def test_a_connection_that_works_is_kept_after_an_error() -> None:
    User.objects.count()
    pid = _pid()
    with pytest.raises(OperationalError), connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 1; SELECT pg_sleep(1)")

    close_old_connections()

    assert User.objects.count() == 0
    assert _pid() == pid
