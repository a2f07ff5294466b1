"""everlearn/logins.py: A6, guessing passwords or links from one address."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from feedback_app.links import Link
from models_app.strikes import ALLOWED, Kind
from tests.factories import make_champion, make_user
from tests.feedback_app.makers import make_prediction

pytestmark = pytest.mark.django_db

LOGIN = "/admin/login/"
VICTIM = {"username": "vera", "password": "secret"}
MANY = 40


@pytest.fixture(autouse=True)
def _victim() -> None:
    make_user("vera", is_staff=True)


def _guess(number: int) -> int:
    forwarded = f"198.51.100.{number}"
    headers = {"X-Forwarded-For": forwarded, "X-Real-IP": forwarded, "Forwarded": forwarded}
    browser = Client(HTTP_ACCEPT="text/html", REMOTE_ADDR="203.0.113.66")
    return browser.post(
        LOGIN, {"username": "vera", "password": f"guess {number}"}, headers=headers
    ).status_code


def test_who_guesses_passwords_waits_whatever_address_the_headers_pretend() -> None:
    statuses = [_guess(number) for number in range(MANY)]

    allowed = ALLOWED[Kind.LOGIN]
    assert statuses == [200] * allowed + [429] * (MANY - allowed)
    attacker = Client(HTTP_ACCEPT="text/html", REMOTE_ADDR="203.0.113.66")
    answer = attacker.post(LOGIN, VICTIM)
    assert answer.status_code == 429  # even with the right password, or guessing would pay
    assert 1 <= int(answer["Retry-After"]) <= 61
    assert answer["Content-Type"].startswith("text/html")
    assert attacker.get(LOGIN).status_code == 200


def test_the_victim_is_not_locked_out_by_guesses_at_the_account_or_in_the_victims_name() -> None:
    victim = Client(REMOTE_ADDR="198.51.100.5")
    for _ in range(MANY):
        _guess(5)

    assert victim.post(LOGIN, VICTIM).status_code == 302
    assert victim.get("/admin/").status_code == 200


def test_who_logs_in_as_they_should_is_not_counted() -> None:
    for _ in range(ALLOWED[Kind.LOGIN] + 2):
        assert Client(REMOTE_ADDR="203.0.113.67").post(LOGIN, VICTIM).status_code == 302


def test_who_guesses_links_waits_and_who_has_one_does_not() -> None:
    """A6."""
    prediction = make_prediction(make_champion())
    link = Link(prediction.pk, "one", timezone.now() + timedelta(minutes=1))
    browser = Client(HTTP_ACCEPT="text/html", REMOTE_ADDR="203.0.113.66")

    statuses = [
        browser.get(f"/f/{link}{number}", headers={"X-Forwarded-For": f"198.51.100.{number}"})
        for number in range(MANY)
    ]

    allowed = ALLOWED[Kind.LINK]
    assert [one.status_code for one in statuses] == [404] * allowed + [429] * (MANY - allowed)
    assert int(statuses[-1]["Retry-After"]) >= 1
    assert browser.get(f"/f/{link}").status_code == 200
    assert Client(REMOTE_ADDR="198.51.100.5").get(f"/f/{link}x").status_code == 404
