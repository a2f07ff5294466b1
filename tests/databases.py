"""Where the suite's database is, and fresh databases for drills that run on both kinds.

TEST_DATABASE: sqlite (default) or postgres, what the suite itself runs on. TEST_POSTGRES_URL:
the PostgreSQL server, as a user who may create databases.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

USUAL_SERVER = "postgres://postgres@127.0.0.1:5432/test"
KINDS = ("sqlite", "postgres")


def suite_is_on() -> str:
    """The kind of database that the suite itself runs on."""
    kind = os.environ.get("TEST_DATABASE") or "sqlite"
    assert kind in KINDS, f"TEST_DATABASE is {kind}, not one of {KINDS}"
    return kind


def server() -> str:
    return os.environ.get("TEST_POSTGRES_URL") or USUAL_SERVER


def new_url() -> str:
    """The URL of a database that nobody has; it is not created."""
    return urlunsplit(urlsplit(server())._replace(path=f"/everlearn_{uuid.uuid4().hex}"))


def answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.OperationalError:
        return False
    return True


@contextmanager
def fresh(kind: str) -> Iterator[dict[str, str]]:
    """The settings of an `Instance` with an empty database of that kind, which ends with it."""
    if kind == "sqlite":
        yield {"DATABASE_URL": ""}  # a file in its home
        return
    # Only a developer's machine may lack the server; where one is named, or in CI, it must answer.
    if not (os.environ.get("TEST_POSTGRES_URL") or os.environ.get("CI") or answers(server())):
        pytest.skip("no PostgreSQL answers (TEST_POSTGRES_URL)")
    url = new_url()
    _run("CREATE DATABASE {} TEMPLATE template0", url)
    try:
        yield {"DATABASE_URL": url}
    finally:
        _run("DROP DATABASE {} WITH (FORCE)", url)


def _run(statement: str, url: str) -> None:
    with psycopg.connect(server(), autocommit=True) as connection:
        name = sql.Identifier(urlsplit(url).path.removeprefix("/"))
        connection.execute(sql.SQL(statement).format(name))
