"""The log of predictions: what is appended is what Django reads back, and all or none of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from models_app import prediction_log
from models_app.models import ModelVersion, Prediction, new_id
from tests.factories import LONG, make_champion, make_user

pytestmark = pytest.mark.django_db


def row(version: ModelVersion, **values: Any) -> dict[str, Any]:
    return {
        "id": str(new_id()), "registered_model_id": version.registered_model_id,
        "version_id": version.pk, "generation": 1, "at": timezone.now(), "input": LONG,
        "value": "oak", "probabilities": {"elm": 0.25, "oak": 0.75}, **values,
    }  # fmt: skip


@pytest.mark.parametrize("count", [1, 3])
def test_every_row_is_read_back_as_it_was_given(count: int) -> None:
    version, client = make_champion(), make_user("ada")
    texts = {"note": 'a "quoted" %s line\n, \\N and ü', "none": None}
    rows = [row(version, client_id=client.pk, subject="s", input=texts) for _ in range(count)]

    prediction_log.append(rows)

    found = {str(one.pk): one for one in Prediction.objects.all()}
    assert list(found) == [one["id"] for one in reversed(rows)]
    for given in rows:
        stored = found[given["id"]]
        assert {name: getattr(stored, name) for name in given if name != "id"} == {
            name: value for name, value in given.items() if name != "id"
        }
        assert (stored.preview, stored.forgotten_at) == (False, None)


def test_a_regression_has_a_number_and_no_probabilities() -> None:
    prediction_log.append([row(make_champion(), value=1.5, probabilities=None)])

    # As Django's own: null of the database, not of JSON.
    found = Prediction.objects.get(probabilities__isnull=True)
    assert (found.value, found.probabilities) == (1.5, None)


@pytest.mark.django_db(transaction=True)
def test_of_several_rows_all_are_stored_or_none_is() -> None:
    version = make_champion()
    first = row(version)

    with pytest.raises(IntegrityError):
        prediction_log.append([first, row(version), {**row(version), "id": first["id"]}])

    assert not Prediction.objects.exists()


def test_one_row_takes_one_statement() -> None:
    rows = [row(make_champion())]

    with CaptureQueriesContext(connection) as queries:
        prediction_log.append(rows)

    assert len(queries) == 1
