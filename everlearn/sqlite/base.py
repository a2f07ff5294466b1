"""Django's SQLite, whose `flush` may empty the tables that otherwise only grow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.management.color import Style
from django.db.backends.sqlite3 import base
from django.db.backends.sqlite3.operations import DatabaseOperations as SqliteOperations


class DatabaseOperations(SqliteOperations):
    def sql_flush(self, style: Style, tables: Sequence[str], **options: Any) -> list[str]:
        """SQLite empties by DELETE, which triggers refuse: without them, then they come back."""
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            triggers = dict(cursor.fetchall())
        drop = [f"DROP TRIGGER {self.quote_name(name)}" for name in triggers]
        return [*drop, *super().sql_flush(style, tables, **options), *triggers.values()]


class DatabaseWrapper(base.DatabaseWrapper):
    ops_class = DatabaseOperations
