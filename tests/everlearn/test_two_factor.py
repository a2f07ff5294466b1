"""Two-factor login: set up, asked for, lost, demanded; and ways around it."""

from __future__ import annotations

import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django_otp.oath import totp
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from everlearn import two_factor
from everlearn.login_limits import LIMITS
from everlearn.models import LoginLimit
from tests.factories import make_champion, make_user
from tests.staff import page_of, staff, with_old_password

pytestmark = pytest.mark.django_db

LOGIN, CODE, SETUP = "/admin/login/", "/admin/login/code/", "/admin/two-factor/"
FREE = LIMITS["account and network"].free


def _code(device: TOTPDevice, steps: int = 0) -> str:
    """The code that the app shows; with steps, so many times 30 s later."""
    return f"{totp(device.bin_key, t0=-30 * steps):06}"


def _wrong(device: TOTPDevice) -> str:
    near = {_code(device, steps) for steps in range(-3, 4)}
    return next(guess for guess in ("000000", "111111", "222222", "333333") if guess not in near)


def _with_device(username: str = "vera", **fields: Any) -> TOTPDevice:
    user = make_user(username, is_staff=True, **fields)
    return TOTPDevice.objects.create(user=user, name="app", confirmed=True)


def _password_given(username: str = "vera", **meta: Any) -> Client:
    browser = Client(HTTP_ACCEPT="text/html", **meta)
    sent = browser.post(LOGIN, {"username": username, "password": "secret"})
    assert sent["Location"].startswith(CODE)
    return browser


def _is_in(browser: Client) -> bool:
    return browser.get("/admin/sessions/").status_code == 200


def _calm() -> None:
    """As if time had passed since the last wrong code."""
    LoginLimit.objects.all().delete()
    TOTPDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)


def test_staff_set_it_up_with_a_code_and_get_recovery_codes_once(viewer: Client) -> None:
    page = viewer.get(SETUP).text
    device = TOTPDevice.objects.get()
    assert two_factor.secret_of(device) in page
    assert "data:image/svg+xml" in page
    assert viewer.get(SETUP).text.count(two_factor.secret_of(device)) == 1  # the same again

    assert viewer.post(SETUP, {"code": _wrong(device)}).status_code == 400
    assert not TOTPDevice.objects.get().confirmed
    _calm()
    done = viewer.post(SETUP, {"code": _code(device)})

    codes = re.findall(r"<li>([a-z2-7]{16})</li>", done.text)
    assert len(set(codes)) == 10
    assert TOTPDevice.objects.get().confirmed
    assert not any(one in viewer.get(SETUP).text for one in (*codes, two_factor.secret_of(device)))


def test_setting_it_up_ends_the_other_sessions_of_that_user(viewer: Client) -> None:
    other = Client(HTTP_ACCEPT="text/html")
    other.post(LOGIN, {"username": "vera", "password": "secret"})
    assert _is_in(other)
    viewer.get(SETUP)

    viewer.post(SETUP, {"code": _code(TOTPDevice.objects.get())})

    assert _is_in(viewer)
    assert not _is_in(other)


def test_setting_it_up_needs_a_password_typed_lately(viewer: Client) -> None:
    """Or whoever finds a browser left open makes the login their own."""
    viewer.get(SETUP)
    device = TOTPDevice.objects.get()
    with_old_password(viewer)

    for answer in (viewer.get(SETUP), viewer.post(SETUP, {"code": _code(device)})):
        assert answer["Location"].startswith("/admin/confirm-password/")
    assert not TOTPDevice.objects.get().confirmed


def test_a_login_asks_for_the_code_after_the_password_and_goes_where_it_was_going() -> None:
    device = _with_device()
    browser = Client(HTTP_ACCEPT="text/html")
    sent = {"username": "vera", "password": "secret"}
    first = browser.post(f"{LOGIN}?next=/admin/sessions/", sent)
    assert not _is_in(browser)
    assert "6 digits" in browser.get(first["Location"]).text

    done = browser.post(first["Location"], {"code": _code(device)})

    assert done["Location"] == "/admin/sessions/"
    assert _is_in(browser)


def test_nobody_is_in_with_the_password_alone() -> None:
    _with_device(is_superuser=True)
    make_champion()
    browser = _password_given()

    for path in ("/admin/", SETUP, "/admin/sessions/", "/admin/auth/user/add/"):
        assert browser.get(path)["Location"].startswith(LOGIN)
    assert browser.get("/api/models/leaves/versions/").status_code == 401
    assert browser.post(CODE, {}).status_code == 200
    assert browser.post(CODE, {"code": ""}).status_code == 200
    assert not _is_in(browser)


def test_a_code_without_a_password_before_it_is_worth_nothing() -> None:
    device = _with_device()

    answer = Client(HTTP_ACCEPT="text/html").post(CODE, {"code": _code(device)})

    assert answer["Location"].startswith(LOGIN)


def test_what_was_given_before_the_code_holds_for_minutes_and_for_that_password() -> None:
    device = _with_device()
    late, changed = _password_given(), _password_given()
    session = late.session
    session["login_pending"] |= {"until": time.time() - 1}
    session.save()
    assert late.post(CODE, {"code": _code(device)})["Location"].startswith(LOGIN)

    device.user.set_password("a new long password")
    device.user.save()
    assert changed.post(CODE, {"code": _code(device)})["Location"].startswith(LOGIN)


def test_a_code_is_taken_once() -> None:
    device = _with_device()
    code = _code(device)

    assert _password_given().post(CODE, {"code": code}).status_code == 302
    replayed = _password_given()
    assert replayed.post(CODE, {"code": code}).status_code == 200
    assert not _is_in(replayed)


@pytest.mark.django_db(transaction=True)
def test_a_code_that_is_sent_many_times_at_once_is_taken_once() -> None:
    device = _with_device()
    code = _code(device)
    browsers = [_password_given(REMOTE_ADDR=f"192.0.2.{number}") for number in range(8)]

    def send(browser: Client) -> int:
        try:
            return browser.post(CODE, {"code": code}).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        statuses = Counter(pool.map(send, browsers))

    assert statuses[302] <= 1
    assert sum(map(_is_in, browsers)) <= 1


def test_codes_are_not_guessed_even_by_somebody_with_the_password() -> None:
    device = _with_device()
    browser = _password_given()
    statuses = [browser.post(CODE, {"code": _wrong(device)}).status_code for _ in range(FREE + 1)]

    assert statuses[-1] == 429
    device.refresh_from_db()
    assert device.throttling_failure_count >= 1
    # From elsewhere the device itself makes even the right code wait.
    LoginLimit.objects.all().delete()
    device.throttling_failure_count = 10
    device.save()
    assert browser.post(CODE, {"code": _code(device)}).status_code == 200
    assert not _is_in(browser)


def test_a_recovery_code_logs_in_once() -> None:
    device = _with_device()
    code = two_factor.new_recovery_codes(device.user)[0]

    assert _password_given().post(CODE, {"code": code.upper()}).status_code == 302
    again = _password_given()
    assert again.post(CODE, {"code": code}).status_code == 200
    assert not _is_in(again)
    assert StaticToken.objects.count() == 9


def _in_with_code(device: TOTPDevice, steps: int = 0) -> Client:
    browser = _password_given(device.user.username)
    assert browser.post(CODE, {"code": _code(device, steps)}).status_code == 302
    return browser


def test_turning_it_off_takes_a_code_and_the_password_alone_logs_in_again() -> None:
    device = _with_device()
    browser = _in_with_code(device)
    assert "0 recovery codes left" in browser.get(SETUP).text

    assert browser.post(SETUP, {"code": _wrong(device), "do": "off"}).status_code == 400
    assert TOTPDevice.objects.exists()
    _calm()
    assert browser.post(SETUP, {"code": _code(device, 1), "do": "off"}).status_code == 302

    assert not TOTPDevice.objects.exists()
    plain = Client().post(LOGIN, {"username": "vera", "password": "secret"})
    assert plain["Location"] == "/admin/"


def test_new_recovery_codes_take_the_place_of_the_old() -> None:
    device = _with_device()
    old = two_factor.new_recovery_codes(device.user)

    page = _in_with_code(device).post(SETUP, {"code": _code(device, 1)}).text

    new = re.findall(r"<li>([a-z2-7]{16})</li>", page)
    assert len(new) == 10
    assert not set(new) & set(old)


def test_confirming_a_password_takes_a_code_too() -> None:
    device = _with_device(is_superuser=True)
    browser = with_old_password(_in_with_code(device))
    confirm = "/admin/confirm-password/?next=/admin/auth/user/add/"

    assert browser.post(confirm, {"password": "secret"}).status_code == 200
    assert browser.get("/admin/auth/user/add/").status_code == 302
    assert browser.post(confirm, {"password": "secret", "code": _code(device, 1)})["Location"]
    assert browser.get("/admin/auth/user/add/").status_code == 200


def test_a_superuser_resets_it_for_who_lost_the_phone_and_a_manager_does_not(boss: Client) -> None:
    device = _with_device()
    victim = _in_with_code(device)
    page = page_of(device.user, "reset_two_factor")

    assert staff("max", "manager").post(page).status_code == 403
    assert TOTPDevice.objects.exists()
    assert "Reset the two-factor login of vera?" in boss.get(page).text
    boss.post(page)

    assert not TOTPDevice.objects.exists()
    assert not _is_in(victim)


def test_the_command_resets_it_when_no_superuser_is_left(capsys) -> None:
    _with_device("boss", is_superuser=True)

    call_command("reset_totp", "boss")

    assert not TOTPDevice.objects.exists()
    assert "is off" in capsys.readouterr().out


def test_the_secrets_of_devices_have_no_page_of_their_own(boss: Client) -> None:
    device = _with_device()

    for app in ("otp_totp/totpdevice", "otp_static/staticdevice"):
        assert boss.get(f"/admin/{app}/").status_code == 404
        assert boss.get(f"/admin/{app}/{device.pk}/change/").status_code == 404


@pytest.fixture
def demanded(settings) -> None:
    settings.EVERLEARN_REQUIRE_TOTP = True


def test_where_it_is_demanded_nothing_works_before_it_is_set_up(demanded, boss: Client) -> None:
    make_champion()
    for path in ("/admin/", "/admin/auth/user/", "/admin/sessions/", "/admin/password_change/"):
        assert boss.get(path)["Location"] == SETUP
        assert boss.post(path, {"action": "delete_selected"})["Location"] == SETUP
    asked = [boss.get("/api/models/leaves/versions/"), boss.post("/api/models/leaves/promote/")]
    for answer in asked:
        assert answer.status_code == 403
        assert answer.json()["errors"][0]["code"] == "two_factor_required"

    assert boss.get(SETUP).status_code == 200
    boss.post(SETUP, {"code": _code(TOTPDevice.objects.get())})

    assert boss.get("/admin/").status_code == 200
    assert boss.get("/api/models/leaves/versions/").status_code == 200


def test_where_it_is_demanded_a_page_of_a_private_model_takes_it_too(demanded) -> None:
    version = make_champion()
    version.registered_model.public = False
    version.registered_model.save()
    viewer = staff("vera", "viewer")

    assert viewer.get("/models/leaves/")["Location"].startswith(LOGIN)


def test_where_it_is_demanded_a_login_from_before_the_device_has_to_log_in(demanded) -> None:
    device = _with_device()
    browser = Client(HTTP_ACCEPT="text/html")
    browser.force_login(device.user)

    assert browser.get("/admin/")["Location"].startswith(LOGIN)
    assert browser.get("/admin/")["Location"].startswith(LOGIN)
    assert "_auth_user_id" not in browser.session


def test_where_it_is_demanded_a_reset_leads_to_setting_it_up_again(demanded, boss: Client) -> None:
    device = _with_device()
    browser = _in_with_code(device)
    assert _is_in(browser)

    two_factor.reset(device.user, actor=User.objects.get(username="boss"))

    assert not _is_in(browser)
    browser.post(LOGIN, {"username": "vera", "password": "secret"})
    assert browser.get("/admin/")["Location"] == SETUP


def test_where_it_is_demanded_keys_and_strangers_are_not_asked(demanded, client_with, api) -> None:
    make_champion()

    assert client_with("read").get("/api/models/leaves/versions/").status_code == 200
    assert api.get("/api/models/").status_code == 200
