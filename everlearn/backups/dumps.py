"""The database as files: written from one moment while all goes on, read, and put back.

SQLite is copied by its online backup API into one file. PostgreSQL gives the rows of each table
as COPY writes them, all from one snapshot, which needs no client program and no version of it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor
from psycopg import sql

SQLITE_FILE = "db.sqlite3"
COLUMNS_FILE = "columns.json"
MIGRATIONS = "django_migrations"
CHUNK = 2**20

Row = tuple[Any, ...]


def write(folder: Path) -> None:
    """Dump the database into `folder` as it is at one moment."""
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        copy_sqlite(connection.connection, folder / SQLITE_FILE)
    else:
        _write_tables(folder)


def copy_sqlite(source: sqlite3.Connection, target: Path) -> None:
    """A consistent copy of an open SQLite database, what its write-ahead log holds included."""
    with closing(sqlite3.connect(target)) as copy:
        # In one step: it holds up no writer, and none makes it begin again.
        source.backup(copy, pages=-1)
        # The copy is in WAL mode as its source was; as a single file it must be whole.
        copy.execute("PRAGMA journal_mode=DELETE")


def _write_tables(folder: Path) -> None:
    describe = connection.introspection.get_table_description
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        tables = connection.introspection.django_table_names(only_existing=True)
        columns = {
            table: [column.name for column in describe(cursor, table)]
            for table in (*sorted(tables), MIGRATIONS)
        }
        for table, names in columns.items():
            with (
                (folder / f"{table}.copy").open("wb") as file,
                cursor.copy(_copy(table, names, "TO STDOUT")) as rows,
            ):
                for part in rows:
                    file.write(part)
    (folder / COLUMNS_FILE).write_text(json.dumps(columns))


def _copy(table: str, columns: list[str], direction: str) -> sql.Composed:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL("COPY {} ({}) " + direction).format(sql.Identifier(table), names)


class Dump:
    """A dump that `write` made, to be read where no database runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vendor = "sqlite" if (folder / SQLITE_FILE).exists() else "postgresql"

    def tables(self) -> list[str]:
        """The names of its tables."""
        if self.vendor == "postgresql":
            return sorted(json.loads((self.folder / COLUMNS_FILE).read_text()))
        found = self._select("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        return [name for (name,) in found if not name.startswith("sqlite_")]

    def rows(self, table: str, *columns: str) -> Iterator[Row]:
        """Some columns of a table, every value as text; None where there is none."""
        if self.vendor == "sqlite":
            names = ", ".join(f'CAST("{name}" AS TEXT)' for name in columns)
            yield from self._select(f'SELECT {names} FROM "{table}"')  # noqa: S608 - our names
            return
        order = json.loads((self.folder / COLUMNS_FILE).read_text())[table]
        places = [order.index(name) for name in columns]
        with (self.folder / f"{table}.copy").open(newline="\n") as file:
            for line in file:
                values = line.rstrip("\n").split("\t")
                yield tuple(None if values[at] == r"\N" else values[at] for at in places)

    def count(self, table: str) -> int:
        """How many rows a table has."""
        if self.vendor == "sqlite":
            ((count,),) = self._select(f'SELECT count(*) FROM "{table}"')  # noqa: S608
            return int(count)
        with (self.folder / f"{table}.copy").open("rb") as file:
            return sum(part.count(b"\n") for part in iter(partial(file.read, CHUNK), b""))

    def damage(self) -> str:
        """What SQLite finds wrong with the file; "" when nothing."""
        if self.vendor != "sqlite":
            return ""
        return sqlite_damage(self.folder / SQLITE_FILE)

    def _select(self, query: str) -> list[Row]:
        with closing(_read_only(self.folder / SQLITE_FILE)) as database:
            return database.execute(query).fetchall()


def sqlite_damage(path: Path) -> str:
    """What is wrong with a SQLite file, as PRAGMA integrity_check has it; "" when nothing."""
    try:
        with closing(_read_only(path)) as database:
            said = str(database.execute("PRAGMA integrity_check(1)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if said == "ok" else said


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def load_tables(dump: Dump) -> None:
    """Put a dump into this PostgreSQL database, in place of all that was in it, then migrate."""
    columns = json.loads((dump.folder / COLUMNS_FILE).read_text())
    _drop_tables()
    _make_tables(set(dump.rows(MIGRATIONS, "app", "name")))
    del columns[MIGRATIONS]  # written by what was just carried out
    with transaction.atomic(), connection.cursor() as cursor:
        # In any order: its foreign keys are looked at when the transaction ends.
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        for table, names in columns.items():
            with (
                (dump.folder / f"{table}.copy").open("rb") as file,
                cursor.copy(_copy(table, names, "FROM STDIN")) as rows,
            ):
                for part in iter(partial(file.read, CHUNK), b""):
                    rows.write(part)
        models = apps.get_models(include_auto_created=True)
        for statement in connection.ops.sequence_reset_sql(no_style(), models):
            cursor.execute(statement)
    call_command("migrate", interactive=False, verbosity=0)


def _drop_tables() -> None:
    with connection.cursor() as cursor:
        for name in (*connection.introspection.django_table_names(), MIGRATIONS):
            cursor.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(sql.Identifier(name)))


def _make_tables(applied: set[Row]) -> None:
    """The tables as they were where those migrations were applied, without a row in them."""
    executor = MigrationExecutor(connection)
    nodes = executor.loader.graph.node_map
    # Of each app its last: whatever precedes it follows from it.
    last = [
        key
        for key, node in nodes.items()
        if key in applied
        and not any(child.key in applied and child.key[0] == key[0] for child in node.children)
    ]
    executor.migrate(last)
