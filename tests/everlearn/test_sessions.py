"""everlearn/sessions.py: how long a login lasts, where it is in use, and ending it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from everlearn import sessions
from everlearn.models import UserSession
from tests.factories import make_user
from tests.staff import page_of, staff

pytestmark = pytest.mark.django_db

PAGE = "/admin/sessions/"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
LONG = "a long new password"


def _browser(username: str = "vera", **meta: Any) -> Client:
    """One more browser of that user, logged in through the page."""
    if not User.objects.filter(username=username).exists():
        make_user(username, is_staff=True)
    browser = Client(HTTP_ACCEPT="text/html", **meta)
    sent = browser.post("/admin/login/", {"username": username, "password": "secret"})
    assert sent.status_code == 302
    return browser


def _is_in(browser: Client) -> bool:
    return browser.get(PAGE).status_code == 200


def _age(browser: Client, **ages: timedelta) -> None:
    """Make a login look as old as that."""
    session = browser.session
    for name, age in ages.items():
        session[name] -= age.total_seconds()
    session.save()


def test_a_login_ends_when_it_is_idle_and_lasts_while_it_is_used() -> None:
    browser = _browser()
    ends = Session.objects.get().expire_date
    assert abs(ends - timezone.now() - timedelta(hours=12)) < timedelta(minutes=1)

    _age(browser, seen_at=timedelta(minutes=6))
    Session.objects.update(expire_date=timezone.now() + timedelta(minutes=1))
    browser.get(PAGE)
    assert Session.objects.get().expire_date > timezone.now() + timedelta(hours=11, minutes=59)
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert not _is_in(browser)
    assert browser.get("/api/models/x/versions/").status_code == 401


def test_a_login_ends_after_its_lifetime_however_much_it_is_used() -> None:
    browser = _browser()
    almost = settings.EVERLEARN_SESSION_LIFETIME - timedelta(minutes=5)

    _age(browser, started_at=almost, seen_at=timedelta(hours=1))
    assert _is_in(browser)
    ends = Session.objects.get().expire_date
    assert ends <= timezone.now() + timedelta(minutes=5)
    # Whatever else writes the session in its last minutes moves its end no further.
    session = browser.session
    session["more"] = 1
    session.save()
    assert abs(Session.objects.get().expire_date - ends) < timedelta(seconds=1)


def test_a_request_within_minutes_of_the_last_writes_nothing() -> None:
    browser = _browser()
    browser.get(PAGE)

    with CaptureQueriesContext(connection) as asked:
        assert browser.get(PAGE).status_code == 200
    assert all(query["sql"].startswith("SELECT") for query in asked)
    assert sum("django_session" in query["sql"] for query in asked) == 2  # to let in; to list


def test_somebody_without_a_login_costs_no_query(client, django_assert_num_queries) -> None:
    with django_assert_num_queries(0):
        client.get("/health")
    assert "Cookie" not in client.get("/health").headers.get("Vary", "")


def test_a_login_gets_a_new_session_id_and_one_that_was_planted_is_worth_nothing() -> None:
    planted = _browser("max")
    victim = Client(HTTP_ACCEPT="text/html")
    make_user("vera", is_staff=True)
    key = planted.session.session_key
    planted.logout()
    victim.cookies[settings.SESSION_COOKIE_NAME] = str(key)

    victim.post("/admin/login/", {"username": "vera", "password": "secret"})

    assert victim.session.session_key != key
    assert UserSession.objects.get().session_key == victim.session.session_key


def test_ones_sessions_are_listed_with_browser_and_address_and_no_others() -> None:
    mine = _browser(HTTP_USER_AGENT=FIREFOX, REMOTE_ADDR="198.51.100.5")
    _browser(HTTP_USER_AGENT="curl/8", REMOTE_ADDR="198.51.100.6")
    _browser("max", REMOTE_ADDR="198.51.100.7")

    page = mine.get(PAGE).text

    assert "Firefox at 198.51.100.5 (this one)" in page
    assert "curl at 198.51.100.6" in page
    assert "198.51.100.7" not in page
    keys = Session.objects.values_list("session_key", flat=True)
    assert not any(key in page for key in keys)


def test_markup_in_a_user_agent_stays_text_and_a_long_one_is_cut() -> None:
    mine = _browser(HTTP_USER_AGENT="<script>" + "x" * 5000)

    assert "<script>x" not in mine.get(PAGE).text
    assert len(UserSession.objects.get().user_agent) == 200


def test_a_session_of_ones_own_is_ended_and_anothers_is_not_there() -> None:
    mine, lost, other = _browser(), _browser(), _browser("max")
    rows: dict[str | None, int] = {row.session_key: row.pk for row in UserSession.objects.all()}

    assert mine.post(PAGE, {"end": rows[other.session.session_key]}).status_code == 404
    assert mine.post(PAGE, {"end": "x"}).status_code == 404
    assert mine.post(PAGE, {"end": rows[lost.session.session_key]}).status_code == 302

    assert [_is_in(one) for one in (mine, lost, other)] == [True, False, True]


def test_all_others_are_ended_at_once_and_this_one_logs_out() -> None:
    mine, *others = (_browser() for _ in range(3))

    mine.post(PAGE, {"all_others": "1"})
    assert [_is_in(one) for one in (mine, *others)] == [True, False, False]

    mine.post(PAGE, {"end": UserSession.objects.get().pk})
    assert not _is_in(mine)
    assert not UserSession.objects.exists()


def test_a_new_password_ends_the_other_sessions_and_keeps_this_one() -> None:
    mine, other = _browser(), _browser()
    form = {"old_password": "secret", "new_password1": LONG, "new_password2": LONG}

    assert mine.post("/admin/password_change/", form).status_code == 302

    assert [_is_in(one) for one in (mine, other)] == [True, False]
    assert UserSession.objects.get().session_key == mine.session.session_key


def test_an_account_that_is_deactivated_has_no_sessions() -> None:
    browser = _browser()
    user = User.objects.get(username="vera")
    user.is_active = False
    user.save()

    assert not UserSession.objects.exists()
    assert not Session.objects.exists()
    user.is_active = True
    user.save()
    assert not _is_in(browser)


def test_a_superuser_ends_the_sessions_of_another_and_a_manager_does_not() -> None:
    browser, boss = _browser(), staff("boss", is_superuser=True)
    page = page_of(User.objects.get(username="vera"), "end_sessions")

    assert staff("max", "manager").post(page).status_code == 403
    assert _is_in(browser)
    assert "End all sessions of vera?" in boss.get(page).text
    boss.post(page)

    assert not _is_in(browser)
    assert boss.get("/admin/").status_code == 200


def test_the_command_ends_them_too_and_names_who_is_not_there(capsys) -> None:
    browser = _browser()

    call_command("end_sessions", "vera")
    with pytest.raises(CommandError, match="no user named 'ghost'"):
        call_command("end_sessions", "ghost")

    assert "1 sessions of vera" in capsys.readouterr().out
    assert not _is_in(browser)


@pytest.mark.parametrize(
    ("agent", "family"),
    [
        (FIREFOX, "Firefox"),
        ("Mozilla/5.0 … Chrome/140.0 Safari/537.36 Edg/140.0", "Edge"),
        ("Mozilla/5.0 … Version/18 Safari/605", "Safari"),
        ("", "unknown"),
    ],
)
def test_the_family_of_a_browser_is_told(agent: str, family: str) -> None:
    assert sessions.browser_of(agent) == family
