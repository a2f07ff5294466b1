"""Transactions that are on the disk when they end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from models_app import storing


@contextmanager
def flushed() -> Iterator[None]:
    """A transaction that survives a loss of power once it ended without an exception.

    Inside another transaction it is a part of that one, and as durable as it. Raises
    Unavailable when the database cannot take it.
    """
    if connection.in_atomic_block:
        with transaction.atomic():
            yield
        return
    with storing.writing(), _synced(), transaction.atomic():
        yield


@contextmanager
def _synced() -> Iterator[None]:
    # PostgreSQL syncs at every commit; SQLite has to be told so before a transaction begins.
    if connection.vendor != "sqlite":
        yield
        return
    with connection.cursor() as cursor:
        usual = cursor.execute("PRAGMA synchronous").fetchone()[0]
        cursor.execute("PRAGMA synchronous = FULL")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA synchronous = {int(usual)}")
