"""Transactions that are on the disk when they end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def flushed() -> Iterator[None]:
    """A transaction that survives a loss of power once it ended without an exception.

    Inside another transaction it is a part of that one, and as durable as it.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        # PostgreSQL syncs at every commit; SQLite may not change its mind within one.
        with transaction.atomic():
            yield
        return
    with connection.cursor() as cursor:
        usual = cursor.execute("PRAGMA synchronous").fetchone()[0]
        cursor.execute("PRAGMA synchronous = FULL")
    try:
        with transaction.atomic():
            yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA synchronous = {int(usual)}")
