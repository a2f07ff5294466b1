"""O3: old code runs on the schema that each migration makes, so that a deploy needs no pause.

A column comes with a default of the database's own or may be null; what old code reads or writes
is neither renamed nor dropped while a release uses it, and no row that it writes is refused. The
SQL is PostgreSQL's, since SQLite makes a table anew whatever is changed.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection, models
from django.db.migrations import (
    AddConstraint,
    AddField,
    AlterField,
    CreateModel,
    Migration,
    RemoveField,
    RenameField,
)
from django.db.migrations.loader import MigrationLoader
from django_migration_linter.sql_analyser.analyser import analyse_sql_statements
from django_migration_linter.sql_analyser.postgresql import PostgresqlAnalyser

from models_app.append_only import AppendOnly

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="looks at PostgreSQL's SQL"),
]

ROOMS = ("everlearn", "feedback_app", "models_app")
# There was no release yet whose code it could break.
BEFORE_THE_FIRST_RELEASE = {("feedback_app", "0003_feedback_review")}
STRIKE, VERSION = "strike", "modelversion"
CHECK = models.CheckConstraint(condition=models.Q(number__gt=0), name="above_zero")
BREAKING = [
    AddField(STRIKE, "why", models.TextField(default="")),
    RemoveField(VERSION, "recipe"),
    RenameField(VERSION, "recipe", "way"),
    AlterField(VERSION, "recipe", models.TextField(unique=True)),
    AddConstraint(VERSION, CHECK),
]
EXPANDING = [
    AddField(STRIKE, "why", models.TextField(null=True)),
    AddField(STRIKE, "why", models.TextField(default="", db_default="")),
    CreateModel("Another", [("id", models.BigAutoField(primary_key=True))]),
]


def _problems(migration: Migration, statements: list[str]) -> Iterator[str]:
    sql = [one for one in statements if not one.startswith("--")]
    errors, _, _ = analyse_sql_statements(PostgresqlAnalyser, sql)
    yield from (error.message for error in errors)
    new = {one.name.lower() for one in migration.operations if isinstance(one, CreateModel)}
    for one in migration.operations:
        if not isinstance(one, AddConstraint) or one.model_name.lower() in new:
            continue
        # It takes every new row; what only grows, no code changes.
        if not isinstance(one.constraint, AppendOnly):
            yield f"{one.describe()}: old code may write rows that it refuses"


def test_no_migration_breaks_the_code_before_it() -> None:
    loader = MigrationLoader(connection)
    found = {
        key: list(_problems(migration, loader.collect_sql([(migration, False)])))
        for key, migration in loader.disk_migrations.items()
        if key[0] in ROOMS and key not in BEFORE_THE_FIRST_RELEASE
    }

    assert len(found) > 10
    assert {key: why for key, why in found.items() if why} == {}


@pytest.mark.parametrize("operation", BREAKING, ids=lambda one: type(one).__name__)
def test_what_would_break_it_is_found(operation) -> None:
    assert _lint(operation)


@pytest.mark.parametrize("operation", EXPANDING, ids=lambda one: type(one).__name__)
def test_what_only_adds_is_let_be(operation) -> None:
    assert _lint(operation) == []


def _lint(operation) -> list[str]:
    loader = MigrationLoader(connection)
    kind = type("Migration", (Migration,), {"operations": [operation]})
    migration = kind("next", "models_app")
    with connection.schema_editor(collect_sql=True) as editor:
        migration.apply(loader.project_state(), editor, collect_sql=True)
    return list(_problems(migration, editor.collected_sql))
