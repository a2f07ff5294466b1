"""Write predictions into the log, as one INSERT that is put together once.

Django's own `bulk_create` makes a model instance, a query and its SQL anew for each request, which
costs more than the model's answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from functools import cache
from typing import Any

from django.db import connection, transaction

from models_app.models import Prediction

_ABOUT = Prediction._meta  # noqa: SLF001 - documented by Django
FIELDS = tuple(_ABOUT.concrete_fields)


def append(rows: Iterable[Mapping[str, Any]]) -> None:
    """Store one prediction for each row, all or none; what a row does not name is its default.

    rows: values by the names of fields (`client_id` for `client`).
    """
    adapt = [(field.attname, field.get_db_prep_save, field.get_default) for field in FIELDS]
    values = [
        [
            prepare(row[name] if name in row else default(), connection)
            for name, prepare, default in adapt
        ]
        for row in rows
    ]
    # One statement is a transaction by itself.
    whole = nullcontext() if len(values) == 1 else transaction.atomic(savepoint=False)
    with whole, connection.cursor() as cursor:
        if len(values) == 1:
            cursor.execute(_statement(connection.vendor), values[0])
        else:
            cursor.executemany(_statement(connection.vendor), values)


@cache
def _statement(vendor: str) -> str:
    quote = connection.ops.quote_name
    names = ", ".join(quote(str(field.column)) for field in FIELDS)
    places = ", ".join(["%s"] * len(FIELDS))
    table = quote(_ABOUT.db_table)
    return f"INSERT INTO {table} ({names}) VALUES ({places})"  # noqa: S608 - names of our own
