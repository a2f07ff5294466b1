"""models_app/append_only.py, on ledger and reviews, past every function and permission of ours."""

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from feedback_app.models import FeedbackReview
from models_app.models import Deployment
from tests.factories import make_champion, make_model, make_user
from tests.feedback_app.makers import make_feedback

TABLE = Deployment._meta.db_table
CHANGES = [
    f"UPDATE {TABLE} SET reason = 'never said'",  # noqa: S608
    f"UPDATE {TABLE} SET generation = generation + 1",  # noqa: S608
    f"DELETE FROM {TABLE}",  # noqa: S608
]


def _refused(statement: str) -> None:
    with (
        pytest.raises(IntegrityError, match="rows are only ever added here"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


@pytest.mark.django_db
@pytest.mark.parametrize("statement", CHANGES)
def test_the_database_refuses_to_change_the_ledger(statement: str) -> None:
    """A4"""
    make_champion()
    before = list(Deployment.objects.values())

    _refused(statement)

    assert list(Deployment.objects.values()) == before


@pytest.mark.django_db
def test_lines_can_still_be_added() -> None:
    model = make_model()
    make_champion(model)
    make_champion(model, turned=True)

    assert list(Deployment.objects.values_list("generation", flat=True)) == [2, 1]


@pytest.mark.django_db(transaction=True)
def test_a_flush_empties_it_and_the_next_lines_are_kept_again() -> None:
    make_champion()

    call_command("flush", interactive=False, verbosity=0)

    assert not Deployment.objects.exists()
    make_champion()
    _refused(CHANGES[0])
    _refused(CHANGES[-1])


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="no other makes tables anew")
def test_it_outlives_a_table_that_a_migration_makes_anew() -> None:
    make_champion()

    with connection.schema_editor() as editor:
        editor._remake_table(Deployment)  # type: ignore[attr-defined]

    assert Deployment.objects.count() == 1
    _refused(CHANGES[0])
    _refused(CHANGES[-1])


@pytest.mark.django_db(transaction=True)
def test_a_migration_backwards_takes_it_away() -> None:
    make_champion()
    (kept,) = (one for one in Deployment._meta.constraints if one.name == "ledger_only_grows")
    others = [one for one in Deployment._meta.constraints if one is not kept]

    try:
        Deployment._meta.constraints = others
        with connection.schema_editor() as editor:
            editor.remove_constraint(Deployment, kept)
        Deployment.objects.update(reason="changed")
    finally:
        Deployment._meta.constraints = [*others, kept]
        with connection.schema_editor() as editor:
            editor.add_constraint(Deployment, kept)

    _refused(CHANGES[0])


@pytest.mark.django_db
def test_of_a_review_only_the_reason_can_be_erased_and_nothing_else_with_it() -> None:
    """A4, V1. What is written of a person stays erasable, what was decided stays."""
    model = make_model()
    word = make_feedback(model)
    line = FeedbackReview.objects.create(
        feedback=word, stands=word, decision="accept", previous_status="pending",
        reviewer=make_user("rita"), reason="asked Ada",
    )  # fmt: skip
    table = FeedbackReview._meta.db_table

    _refused(f"UPDATE {table} SET reason = 'never said'")  # noqa: S608
    _refused(f"UPDATE {table} SET reason = '', decision = 'reject'")  # noqa: S608
    _refused(f"UPDATE {table} SET decision = 'reject'")  # noqa: S608
    _refused(f"DELETE FROM {table}")  # noqa: S608

    FeedbackReview.objects.update(reason="")
    before, after = line, FeedbackReview.objects.get()
    assert (after.reason, after.decision, after.at) == ("", before.decision, before.at)
