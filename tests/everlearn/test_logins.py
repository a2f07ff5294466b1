"""everlearn/logins.py and login_limits.py: A6, guessing passwords, names and links."""

from __future__ import annotations

import math
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.db import connection
from django.db.models import F
from django.test import Client
from django.utils import timezone

from everlearn.login_limits import LIMITS, count_attempt
from everlearn.management.commands.up import _first_password
from everlearn.models import KnownNetwork, LoginLimit
from feedback_app.links import Link
from models_app.refusals import TooOften
from models_app.strikes import ALLOWED, Kind
from tests.factories import make_champion, make_user
from tests.feedback_app.makers import make_prediction

pytestmark = pytest.mark.django_db

LOGIN = "/admin/login/"
VICTIM = {"username": "vera", "password": "secret"}
ATTACKER = "203.0.113.66"
MANY = 40
COMMON = "qwerty123456"
FREE = LIMITS["account and network"].free


@pytest.fixture(autouse=True)
def _victim(db: None) -> None:
    make_user("vera", is_staff=True)


def _post(
    username: str = "vera",
    password: str = "guess",  # noqa: S107
    address: str = ATTACKER,
    **more: str,
) -> Any:
    browser = Client(HTTP_ACCEPT="text/html", REMOTE_ADDR=address)
    return browser.post(LOGIN, {"username": username, "password": password}, headers=more)


def _guess(number: int) -> int:
    forwarded = f"198.51.100.{number}"
    headers = {"X-Forwarded-For": forwarded, "X-Real-IP": forwarded, "Forwarded": forwarded}
    status: int = _post(password=f"guess {number}", **headers).status_code
    return status


def _just_now() -> None:
    """As if the last attempts had been made this moment, however slow the machine is."""
    LoginLimit.objects.update(counted_at=timezone.now())


def _free_within(free: int, began: float) -> int:
    """How many attempts may have been let through by now, at 2, 4, 8 … s after the free ones."""
    return free + int(math.log2((time.monotonic() - began + 2) / 2))


def _pass(seconds: float) -> None:
    """Let time pass for the limits."""
    LoginLimit.objects.update(counted_at=F("counted_at") - timedelta(seconds=seconds))


def test_who_guesses_passwords_waits_whatever_address_the_headers_pretend() -> None:
    began = time.monotonic()
    statuses = [_guess(number) for number in range(MANY)]

    assert statuses[: FREE + 1] == [200] * FREE + [429]
    assert set(statuses) == {200, 429}
    assert statuses.count(200) <= _free_within(FREE, began)
    _just_now()
    answer = _post(**VICTIM)
    assert answer.status_code == 429  # even with the right password, or guessing would pay
    assert 1 <= int(answer["Retry-After"]) <= 900
    assert answer["Content-Type"].startswith("text/html")
    assert "then try again" in answer.text
    assert Client(REMOTE_ADDR=ATTACKER).get(LOGIN).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_of_40_logins_at_once_no_more_than_the_free_ones_are_tried() -> None:
    def guess(number: int) -> int:
        try:
            return _guess(number)
        finally:
            connection.close()

    began = time.monotonic()
    with ThreadPoolExecutor(MANY) as pool:
        statuses = Counter(pool.map(guess, range(MANY)))

    assert FREE <= statuses[200] <= _free_within(FREE, began)
    assert statuses[200] + statuses[429] == MANY


def test_each_further_attempt_waits_twice_as_long_up_to_a_quarter_of_an_hour() -> None:
    for number in range(FREE):
        _guess(number)

    waits = []
    for number in range(12):
        _just_now()
        refused = _post()
        assert refused.status_code == 429
        waits.append(int(refused["Retry-After"]))
        _pass(waits[-1])
        assert _guess(number) == 200

    assert waits[:4] == [2, 4, 8, 16]
    assert all(later >= earlier for earlier, later in pairwise(waits))
    assert waits[-1] == 900


def test_the_free_attempts_grow_back_and_nothing_is_kept_of_them() -> None:
    for number in range(FREE):
        _guess(number)
    _just_now()
    assert _guess(0) == 429

    _pass(FREE * LIMITS["account and network"].regrows + 1)

    assert [_guess(number) for number in range(FREE)] == [200] * FREE
    _just_now()
    assert _guess(0) == 429
    LoginLimit.objects.update(ends_at=timezone.now() - timedelta(minutes=2))
    _post(username="someone else", address="192.0.2.1")
    assert LoginLimit.objects.count() == 3


def test_a_login_that_succeeds_clears_what_its_typing_errors_cost() -> None:
    for _ in range(3):
        for number in range(FREE - 1):
            assert _guess(number) == 200
        assert _post(**VICTIM).status_code == 302


def test_who_logs_in_as_they_should_is_not_slowed() -> None:
    for _ in range(LIMITS["network"].free + 5):
        assert _post(**VICTIM).status_code == 302


def test_a_right_password_behind_a_shared_address_is_let_in_while_others_fail() -> None:
    for number in range(LIMITS["network"].free // 2):
        _post(username=f"colleague-{number}")

    assert _post(**VICTIM).status_code == 302


def test_a_network_that_tries_many_accounts_is_slowed_and_known_accounts_there_are_not() -> None:
    assert _post(**VICTIM).status_code == 302
    make_user("new", is_staff=True)
    free = LIMITS["network"].free
    assert {_post(username=f"name-{number}").status_code for number in range(free)} == {200}
    LoginLimit.objects.update(counted_at=timezone.now(), count=F("count") + free / 5)

    assert _post(username="another").status_code == 429
    assert _post("new", "secret").status_code == 429
    assert _post("new", "secret", "198.51.100.5").status_code == 302
    assert _post(**VICTIM).status_code == 302


def test_an_account_attacked_from_many_networks_stays_open_where_it_logged_in_before() -> None:
    assert _post(**VICTIM, address="198.51.100.5").status_code == 302
    began, free = time.monotonic(), LIMITS["account"].free
    statuses = Counter(_post(address=f"192.0.2.{number}").status_code for number in range(MANY))

    assert free <= statuses[200] <= _free_within(free, began)
    _just_now()
    assert _post(**VICTIM, address="198.51.100.6").status_code == 429
    assert _post(**VICTIM, address="198.51.100.5").status_code == 302
    KnownNetwork.objects.update(last_login_at=timezone.now() - timedelta(days=31))
    _just_now()
    assert _post(**VICTIM, address="198.51.100.5").status_code == 429


@pytest.mark.parametrize("name", ["VERA", "Vera", "ｖｅｒａ", "vera"])
def test_other_spellings_of_a_name_count_as_the_account(name: str) -> None:
    for number in range(FREE):
        _guess(number)
    _just_now()

    assert _post(username=name).status_code == 429


def test_logins_of_ones_own_pay_for_no_guesses_at_others() -> None:
    make_user("insider", is_staff=True)
    for number in range(30):
        _post(username=f"name-{number}")
        assert _post("insider", "secret").status_code == 302

    counts = LoginLimit.objects.order_by("pk").values_list("count", flat=True)
    assert max(counts) > 20


def test_a_subscriber_with_a_whole_ipv6_network_counts_once() -> None:
    statuses = [_post(address=f"2001:db8:1:2::{number:x}").status_code for number in range(FREE)]
    _just_now()

    assert statuses == [200] * FREE
    assert _post(address="2001:db8:1:2:ffff::1").status_code == 429


def test_no_name_that_was_typed_is_kept_and_a_long_one_is_bounded() -> None:
    typed = "my password by mistake"
    _post(username=typed)
    for number in range(FREE):
        _post(username="x" * 5000 + str(number))
    _just_now()

    assert _post(username="x" * 5000).status_code == 429
    assert typed not in repr(list(LoginLimit.objects.values()))
    assert {len(row.digest) for row in LoginLimit.objects.all()} == {64}


def test_an_unknown_name_is_answered_as_a_known_one() -> None:
    known, unknown = (_post(username=name).text for name in ("vera", "nora"))

    assert known.count("correct username and password") == 1
    assert unknown.count("correct username and password") == 1
    counts = LoginLimit.objects.order_by("pk").values_list("count", flat=True)
    assert [round(count) for count in counts] == [2, 1, 1, 1, 1]


def test_the_old_password_is_no_way_around_the_limit() -> None:
    """With a session that was left open."""
    thief = Client(HTTP_ACCEPT="text/html", REMOTE_ADDR=ATTACKER)
    thief.force_login(User.objects.get(username="vera"))
    new = {"new_password1": "a new one, long", "new_password2": "a new one, long"}
    page = "/admin/password_change/"

    statuses = [
        thief.post(page, {"old_password": f"guess {number}", **new}).status_code
        for number in range(FREE + 1)
    ]

    assert statuses == [200] * FREE + [429]
    assert thief.post(page, {"old_password": "secret", **new}).status_code == 429
    LoginLimit.objects.all().delete()
    assert thief.post(page, {"old_password": "secret", **new}).status_code == 302


def test_a_short_or_common_password_is_refused_and_those_there_are_stay() -> None:
    browser = Client(HTTP_ACCEPT="text/html")
    assert browser.post(LOGIN, VICTIM).status_code == 302

    for new in ("elevenchars", COMMON, "837465019283746"):
        form = {"old_password": "secret", "new_password1": new, "new_password2": new}
        assert browser.post("/admin/password_change/", form).status_code == 200, new


def test_the_first_password_of_an_installation_is_one_that_would_be_taken() -> None:
    validate_password(_first_password(), User.objects.get(username="admin"))


def test_an_attempt_that_is_refused_is_not_counted() -> None:
    for number in range(FREE):
        count_attempt("vera", f"192.0.2.{number}")
    before = list(LoginLimit.objects.order_by("pk").values())
    for _ in range(FREE):
        count_attempt("max", ATTACKER)

    for _ in range(3):
        with pytest.raises(TooOften):
            count_attempt("max", ATTACKER)

    assert list(LoginLimit.objects.order_by("pk").values())[: len(before)] == before


def test_who_guesses_links_waits_and_who_has_one_does_not() -> None:
    """A6."""
    prediction = make_prediction(make_champion())
    link = Link(prediction.pk, "one", timezone.now() + timedelta(minutes=1))
    browser = Client(HTTP_ACCEPT="text/html", REMOTE_ADDR=ATTACKER)

    statuses = [
        browser.get(f"/f/{link}{number}", headers={"X-Forwarded-For": f"198.51.100.{number}"})
        for number in range(MANY)
    ]

    allowed = ALLOWED[Kind.LINK]
    assert [one.status_code for one in statuses] == [404] * allowed + [429] * (MANY - allowed)
    assert int(statuses[-1]["Retry-After"]) >= 1
    assert browser.get(f"/f/{link}").status_code == 200
    assert Client(REMOTE_ADDR="198.51.100.5").get(f"/f/{link}x").status_code == 404
