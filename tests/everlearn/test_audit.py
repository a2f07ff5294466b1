"""everlearn/audit.py and rights_audit.py: who got in, who did not, and whose rights changed."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import Client
from django_otp.plugins.otp_totp.models import TOTPDevice

from everlearn.logs import JsonLines, ReadableLines
from models_app.actors import system_user
from tests.factories import make_user
from tests.staff import page_of

pytestmark = pytest.mark.django_db

LOGIN = "/admin/login/"
NEW = "a long new password"
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def written(db: None) -> Iterator[Lines]:
    """What `everlearn.security` writes as JSON lines."""
    stream, logger = io.StringIO(), logging.getLogger("everlearn.security")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)


def _events(lines: Lines) -> list[tuple[str, str, str, str]]:
    return [(line["event"], line["account"], line["actor"], line["address"]) for line in lines()]


def test_logins_and_logouts_are_written_with_account_and_address(written: Lines) -> None:
    make_user("vera", is_staff=True)
    browser = Client(REMOTE_ADDR="198.51.100.5")
    browser.post(LOGIN, {"username": "vera", "password": "wr0ng-canary"})
    browser.post(LOGIN, {"username": "vera", "password": "secret"})
    key = str(browser.session.session_key)
    browser.post("/admin/logout/")

    at = "198.51.100.5"
    assert _events(written)[1:] == [
        ("login_failed", "vera", "anonymous", at),
        ("login", "vera", "vera", at),
        ("logout", "vera", "vera", at),
    ]
    assert "wr0ng-canary" not in json.dumps(written())
    assert key not in json.dumps(written())


def test_a_right_password_of_somebody_who_is_not_of_staff_is_a_failed_login(
    written: Lines,
) -> None:
    make_user("guest")
    Client().post(LOGIN, {"username": "guest", "password": "secret"})

    assert _events(written)[-1][:2] == ("login_failed", "guest")


@pytest.mark.parametrize("name", ['x" actor="root', "a\nevent=login", "\x1b[2J\u2028", "x" * 9000])
def test_a_name_that_was_typed_breaks_no_line_and_forges_no_field(
    written: Lines, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    Client().post(LOGIN, {"username": name, "password": "guess"})

    (line,) = [one for one in written() if one["event"] == "login_failed"]
    assert len(line["account"]) <= 150
    assert name.strip().startswith(line["account"].strip())
    (record,) = [one for one in caplog.records if one.name == "everlearn.security"]
    readable = ReadableLines().format(record)
    assert len(readable.splitlines()) == 1
    assert "\x1b" not in readable
    assert 'actor="root' not in readable.replace('\\"', "")


def test_changes_of_rights_in_the_admin_are_written_with_who_made_them(
    written: Lines, boss: Client
) -> None:
    form = {"username": "new", "password1": NEW, "password2": NEW, "usable_password": "true"}
    boss.post("/admin/auth/user/add/", form)
    user = User.objects.get(username="new")
    group = Group.objects.get(name="manager")
    more = {
        "username": "new", "is_active": "on", "is_staff": "on", "is_superuser": "on",
        "groups": [group.pk], "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00",
    }  # fmt: skip
    assert boss.post(page_of(user), more).status_code == 302
    other = {"password1": NEW + "!", "password2": NEW + "!", "usable_password": "true"}
    assert boss.post(f"/admin/auth/user/{user.pk}/password/", other).status_code == 302
    assert boss.post(page_of(user, "delete"), {"post": "yes"}).status_code == 302

    lines = [line for line in written() if line["account"] == "new"]
    assert [line["event"] for line in lines] == [
        "user_created", "user_changed", "rights_changed", "password_changed", "user_deleted",
    ]  # fmt: skip
    assert {line["actor"] for line in lines} == {"boss"}
    assert {line["address"] for line in lines} == {"127.0.0.1"}
    assert lines[1]["detail"] == "is_staff=True, is_superuser=True"
    assert lines[2]["detail"] == "Group added: manager"
    assert NEW not in json.dumps(written())
    assert "md5$" not in json.dumps(written())


def test_a_groups_rights_are_written(written: Lines, boss: Client) -> None:
    group = Group.objects.create(name="guests")
    permission = Group.objects.get(name="viewer").permissions.all()[0]

    boss.post(page_of(group), {"name": "guests", "permissions": [permission.pk]})

    line = next(one for one in written() if one["event"] == "rights_changed")
    assert (line["account"], line["actor"]) == ("guests", "boss")
    assert line["detail"] == f"Permission added: {permission.codename}"


def test_what_a_shell_changes_is_written_without_an_address(written: Lines) -> None:
    user = make_user("vera")
    user.set_password(NEW)
    user.save()
    user.is_superuser = True
    user.save()

    assert _events(written) == [
        ("user_created", "vera", "shell", ""),
        ("password_changed", "vera", "shell", ""),
        ("user_changed", "vera", "shell", ""),
    ]


def test_a_password_that_is_only_hashed_anew_is_no_change(written: Lines, settings: Any) -> None:
    make_user("vera", is_staff=True)
    first = ["django.contrib.auth.hashers.PBKDF2PasswordHasher", *settings.PASSWORD_HASHERS]
    settings.PASSWORD_HASHERS = first
    browser = Client()

    browser.post(LOGIN, {"username": "vera", "password": "secret"})

    assert User.objects.get(username="vera").password.startswith("pbkdf2")
    assert [event for event, *_ in _events(written)] == ["user_created", "login"]
    assert browser.get("/admin/").status_code == 200


def test_keys_devices_and_sessions_are_written_without_a_secret(
    written: Lines, boss: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    system_user("cli")
    call_command("create_api_key", "robot", "--scopes", "read", "--networks", "::1")
    first = capsys.readouterr().out.splitlines()[-1]
    call_command("roll_api_key", "robot")
    second = capsys.readouterr().out.splitlines()[-1]
    call_command("revoke_api_key", "robot")
    boss.get("/admin/two-factor/")
    TOTPDevice.objects.update(confirmed=True)
    call_command("reset_totp", "boss", "--as", "boss")

    events = [event for event, *_ in _events(written)]
    assert [one for one in events if one.startswith("key_")] == [
        "key_created", "key_rolled", "key_revoked",
    ]  # fmt: skip
    assert "totp_reset" in events
    assert "session_ended" in events
    text = json.dumps(written())
    for secret in (first, second):
        assert secret.partition(".")[2] not in text
        assert secret.partition(".")[0] in text
