from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction

from feedback_app.durability import flushed
from tests.factories import make_user

FULL = 2

pytestmark = pytest.mark.django_db(transaction=True)


on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="a PRAGMA of SQLite")


def synchronous() -> int:
    with connection.cursor() as cursor:
        return int(cursor.execute("PRAGMA synchronous").fetchone()[0])


@on_sqlite
def test_a_flushed_transaction_is_synced_and_others_are_as_before() -> None:
    before = synchronous()

    with flushed():
        within = synchronous()

    assert (within, synchronous()) == (FULL, before)
    assert before != FULL


@on_sqlite
def test_an_exception_rolls_back_and_the_setting_goes_back_too() -> None:
    before = synchronous()

    with pytest.raises(IntegrityError), flushed():
        User.objects.bulk_create([User(username="ada"), User(username="ada")])

    assert not User.objects.filter(username="ada").exists()
    assert synchronous() == before


def test_inside_another_transaction_it_is_a_part_of_that_one() -> None:
    with transaction.atomic(), flushed():
        make_user("ada")

    assert User.objects.filter(username="ada").exists()
