"""F4: a link lets one word be said about one prediction, until it expires."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core import signing
from django.utils import timezone
from rest_framework.test import APIClient

from feedback_app.links import SIGNER, BadLink, Link
from feedback_app.models import Feedback
from tests.conftest import KeyMaker
from tests.factories import LONG, make_champion, make_model
from tests.feedback_app.makers import make_prediction

pytestmark = pytest.mark.django_db


def asked_for(client: APIClient, prediction: object, body: object = None) -> Any:
    return client.post(f"/api/predictions/{prediction}/feedback-link/", body or {})


def predicted(client: APIClient) -> str:
    """The id of a prediction that is the client's own."""
    make_champion()
    answer = client.post("/api/models/leaves/predict/", {"instances": [LONG]})
    told: str = answer.json()["predictions"][0]["id"]
    return told


def test_a_client_gets_a_link_for_its_own_prediction(client_with: KeyMaker) -> None:
    client = client_with("predict", "feedback")
    prediction = predicted(client)

    answer = asked_for(client, prediction)

    assert answer.status_code == 201
    body = answer.json()
    assert set(body) == {"url", "expires_at"}
    assert body["url"].startswith("http://localhost:8000/f/")
    link = Link.of(body["url"].rpartition("/")[2])
    assert str(link.prediction) == prediction
    assert datetime.fromisoformat(body["expires_at"]) == link.expires_at
    days = (link.expires_at - timezone.now()) / timedelta(days=1)
    assert days == pytest.approx(7, abs=0.01)
    assert not Feedback.objects.exists()


def test_the_host_of_a_request_is_not_the_host_of_a_link(
    client_with: KeyMaker, settings: Any
) -> None:
    """W2."""
    settings.ALLOWED_HOSTS = ["*"]
    client = client_with("predict", "feedback")
    prediction = predicted(client)

    answer = client.post(
        f"/api/predictions/{prediction}/feedback-link/", {}, HTTP_HOST="evil.example"
    )

    assert answer.json()["url"].startswith("http://localhost:8000/f/")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30s", timedelta(seconds=30)), ("15m", timedelta(minutes=15)), ("365d", timedelta(days=365))],
)
def test_how_long_it_is_good_for_can_be_said(
    client_with: KeyMaker, text: str, expected: timedelta
) -> None:
    client = client_with("predict", "feedback")

    body = asked_for(client, predicted(client), {"expires_in": text}).json()

    left = datetime.fromisoformat(body["expires_at"]) - timezone.now()
    assert left.total_seconds() == pytest.approx(expected.total_seconds(), abs=10)


@pytest.mark.parametrize(
    ("body", "attr"),
    [
        ({"expires_in": "soon"}, "expires_in"),
        ({"expires_in": "7"}, "expires_in"),
        ({"expires_in": 7}, "expires_in"),
        ({"expires_in": None}, "expires_in"),
        ({"expires_in": "0s"}, "expires_in"),
        ({"expires_in": "366d"}, "expires_in"),
        ({"expires_in": "-1d"}, "expires_in"),
        ({"expires": "7d"}, "expires"),
    ],
)
def test_a_time_that_is_none_is_refused(client_with: KeyMaker, body: Any, attr: str) -> None:
    client = client_with("predict", "feedback")

    answer = asked_for(client, predicted(client), body)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["attr"] == attr


def test_somebody_elses_prediction_is_as_one_that_does_not_exist(
    api: APIClient, client_with: KeyMaker
) -> None:
    """A2. But readers see it, and so may make a link."""
    prediction = predicted(client_with("predict"))

    others = asked_for(client_with("feedback"), prediction)
    unknown = asked_for(client_with("feedback"), uuid4())

    assert (others.status_code, unknown.status_code) == (404, 404)
    assert others.json()["errors"][0]["code"] == "not_found"
    assert asked_for(api, prediction).status_code == 401
    assert asked_for(client_with("read", "predict"), prediction).status_code == 403
    assert asked_for(client_with("read", "feedback"), prediction).status_code == 201


def test_no_link_leads_to_a_preview_or_a_retired_model(client_with: KeyMaker) -> None:
    client = client_with("read", "feedback")
    version = make_champion()
    preview = make_prediction(version, preview=True)
    kept = make_prediction(version)

    assert asked_for(client, preview.pk).status_code == 409
    version.registered_model.retired_at = timezone.now()
    version.registered_model.save()
    assert asked_for(client, kept.pk).status_code == 404


def test_a_link_is_signed_with_a_key_of_its_own() -> None:
    payload = [uuid4().hex, "abc", 4_000_000_000]

    assert Link.of(SIGNER.sign_object(payload)).id == "abc"
    for other in (
        signing.dumps(payload),
        signing.Signer(sep=".").sign_object(payload),
        signing.Signer(salt="models_app.pages.answer", sep=".").sign_object(payload),
    ):
        with pytest.raises(BadLink):
            Link.of(other)


def test_no_character_of_a_link_may_change() -> None:
    make_model()
    text = str(Link(uuid4(), "abc", datetime(2036, 1, 1, tzinfo=UTC)))

    assert Link.of(text).id == "abc"
    for place, letter in enumerate(text):
        changed = text[:place] + ("A" if letter != "A" else "B") + text[place + 1 :]
        with pytest.raises(BadLink):
            Link.of(changed)
