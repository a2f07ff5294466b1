"""Another program that holds the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
from django.db import connection

TABLES = "models_app_prediction, feedback_app_feedback"


@contextmanager
def held_database() -> Iterator[None]:
    """Nobody but us writes within the block; in PostgreSQL nobody reads these tables either."""
    if connection.vendor == "sqlite":
        with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as db:
            db.execute("BEGIN EXCLUSIVE")
            yield
            db.execute("COMMIT")
    else:
        with psycopg.connect(**_address()) as db:
            db.execute(f"LOCK TABLE {TABLES} IN ACCESS EXCLUSIVE MODE")
            yield


def _address() -> dict[str, Any]:
    given, names = (
        connection.get_connection_params(),
        ("dbname", "user", "password", "host", "port"),
    )
    return {name: given[name] for name in names if name in given}
