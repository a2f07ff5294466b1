"""rounding.py: whoever sends no key gets fewer digits, at every door; the log has them all."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from models_app.conversion import make_bundle
from models_app.learning import pipeline, tables
from models_app.models import Prediction
from tests.factories import SCHEMA, leaves, make_champion, make_model, make_user

pytestmark = pytest.mark.django_db

PREDICT = "/api/models/leaves/predict/"
UNSURE = {"length": 5.1, "width": 1.0}


def shares(client: Any, path: str = PREDICT) -> dict[str, float]:
    answer = client.post(path, {"instances": [UNSURE]})
    found: dict[str, float] = answer.json()["predictions"][0]["probabilities"]
    return found


def logged() -> Prediction:
    return Prediction.objects.latest("pk")


@pytest.mark.parametrize("path", [PREDICT, "/predict"])
def test_probabilities_have_two_decimals_without_a_key_and_all_with_one(
    path: str, client_with: Any, manager: Client
) -> None:
    """S14, D6."""
    make_champion()
    told = shares(APIClient(), path)

    full = logged().probabilities
    assert full is not None
    assert told != full
    assert told == {name: round(share, 2) for name, share in full.items()}
    assert shares(client_with("predict"), path) == full
    staff = APIClient()
    staff.force_login(make_user("olga", is_staff=True, is_superuser=True))
    assert shares(staff, path) == full


def test_a_setting_says_how_many_or_off(settings: Any) -> None:
    make_champion()
    settings.EVERLEARN_ANONYMOUS_DIGITS = 0
    assert set(shares(APIClient()).values()) == {0.0, 1.0}

    settings.EVERLEARN_ANONYMOUS_DIGITS = None
    assert shares(APIClient()) == logged().probabilities


def test_pages_show_no_more_digits_before_and_after_feedback_and_by_a_link(
    client_with: Any,
) -> None:
    make_champion()
    browser = Client()
    form = {"feature-length": "5.1", "feature-width": "1"}
    page = browser.post("/models/leaves/", form).text
    full = logged().probabilities
    assert full is not None
    rounded = {f"{round(100 * share)}.0 %" for share in full.values()}

    token = page.partition('name="answer" value="')[2].partition('"')[0]
    after = browser.post("/models/leaves/feedback/", {"answer": token, "right": "yes"}).text
    maker = client_with("predict", "feedback")
    shares(maker)
    link = maker.post(f"/api/predictions/{logged().pk}/feedback-link/", {}).json()["url"]
    linked = browser.get("/f/" + link.partition("/f/")[2]).text

    for shown in (page, after):
        assert set(re.findall(r'class="number">([\d.]+ %)', shown)) & rounded == rounded
    for shown in (page, after, linked):
        assert not any(f"{100 * share:.2f}" in shown for share in full.values())


@pytest.mark.parametrize(("offset", "decimals"), [(0.0, 4), (2_460_000.0, 3)])
def test_a_number_has_five_significant_digits_of_what_answers_differ_by_without_a_key(
    offset: float, decimals: int, client_with: Any
) -> None:
    frame = leaves().drop(columns="kind")
    frame["area"] = offset + frame["length"] * frame["width"]
    estimator = pipeline.build("ridge", schema=SCHEMA, task="regression", seed=0)
    estimator.fit(tables.encode(frame, SCHEMA), frame["area"].to_numpy())
    made = make_bundle(
        estimator, name="leaves", schema=SCHEMA, task="regression", classes=(),
        instances=tables.instances_of(frame, SCHEMA),
    )  # fmt: skip
    make_champion(make_model(task="regression", target="area"), bundle_digest=made.digest)

    def value(client: Any) -> float:
        answer = client.post("/predict", {"length": [5.1], "width": [1.3]})
        (found,) = answer.json()["area"]
        return float(found)

    told, full = value(APIClient()), logged().value
    assert told == round(full, decimals) != full
    assert value(client_with("predict")) == full
