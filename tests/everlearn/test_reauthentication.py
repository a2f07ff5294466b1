"""Keys, accounts and overrides need a password that was typed a short while ago."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import Client

from everlearn import keys
from everlearn.login_limits import LIMITS
from everlearn.models import ApiKey
from models_app.actors import system_user
from models_app.models import RegisteredModel
from tests.factories import make_champion, make_gate, make_model, make_user, make_version
from tests.staff import page_of, staff, with_old_password

pytestmark = pytest.mark.django_db

CONFIRM = "/admin/confirm-password/"
FREE = LIMITS["account and network"].free


@pytest.fixture
def tired(boss: Client) -> Client:
    """A superuser whose password was typed long ago."""
    return with_old_password(boss)


def _asked(answer) -> bool:
    return answer.status_code == 302 and str(answer["Location"]).startswith(CONFIRM)


def _confirm(browser: Client, password: str = "secret", to: str = "/admin/"):  # noqa: S107
    return browser.post(f"{CONFIRM}?next={quote(to)}", {"password": password})


def _pages() -> list[str]:
    user = make_user("vera", is_staff=True)
    keys.create_key("robot", ["read"], actor=system_user("cli"))
    key, group = ApiKey.objects.get(), Group.objects.create(name="guests")
    return [
        "/admin/everlearn/apikey/add/",
        *(page_of(key, button) for button in ("revoke", "roll", "limit")),
        "/admin/auth/user/add/",
        "/admin/auth/group/add/",
        *(page_of(user, verb) for verb in ("change", "delete", "end_sessions", "reset_two_factor")),
        f"/admin/auth/user/{user.pk}/password/",
        *(page_of(group, verb) for verb in ("change", "delete")),
        "/admin/two-factor/",
    ]


def test_no_page_of_keys_and_accounts_changes_anything_with_an_old_password(tired: Client) -> None:
    """By the form, and by a POST that nobody asked for."""
    pages = _pages()
    form = {
        "name": "mine", "scopes": ["read"], "username": "mine", "post": "yes", "overlap": "1h",
        "password1": "a long password", "password2": "a long password", "is_superuser": "on",
    }  # fmt: skip

    def rows() -> list[object]:
        return [list(kind.objects.order_by("pk").values()) for kind in (User, Group, ApiKey)]

    before = rows()
    for page in pages:
        assert _asked(tired.get(page)), page
        assert _asked(tired.post(page, form)), page
    assert rows() == before


@pytest.mark.parametrize("kind", ["user", "group"])
def test_no_action_on_a_selection_of_accounts_does_either(tired: Client, kind: str) -> None:
    make_user("vera")
    Group.objects.create(name="guests")
    named = {"user": User.objects.get(username="vera"), "group": Group.objects.get(name="guests")}
    sent = {"action": "delete_selected", "_selected_action": [named[kind].pk], "post": "yes"}

    assert _asked(tired.post(f"/admin/auth/{kind}/", sent))

    named[kind].refresh_from_db()


def test_looking_at_lists_and_everything_else_goes_on(tired: Client) -> None:
    make_champion()
    keys.create_key("robot", ["read"], actor=system_user("cli"))
    for path in (
        "/admin/", "/admin/auth/user/", "/admin/everlearn/apikey/", page_of(ApiKey.objects.get()),
        "/admin/models_app/registeredmodel/", "/admin/sessions/", "/api/models/leaves/versions/",
    ):  # fmt: skip
        assert tired.get(path).status_code == 200, path


def test_the_password_leads_back_to_where_it_was_asked_for(tired: Client) -> None:
    asked = tired.get("/admin/everlearn/apikey/add/?x=1")
    page = tired.get(asked["Location"])
    assert "Confirm your password" in page.text
    before = tired.session.session_key

    assert tired.post(asked["Location"], {"password": "wrong"}).status_code == 200
    done = tired.post(asked["Location"], {"password": "secret"})

    assert done["Location"] == "/admin/everlearn/apikey/add/?x=1"
    assert tired.get(done["Location"]).status_code == 200
    assert tired.session.session_key != before


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example", "javascript:alert(1)"])
def test_it_leads_nowhere_else(tired: Client, to: str) -> None:
    assert _confirm(tired, to=to)["Location"] == "/admin/"


def test_another_users_password_does_not_confirm(tired: Client) -> None:
    User.objects.create_user("other", password="theirs")

    assert _confirm(tired, "theirs").status_code == 200
    assert _asked(tired.get("/admin/auth/user/add/"))


def test_the_password_cannot_be_guessed_here_either(tired: Client) -> None:
    statuses = [_confirm(tired, f"guess {number}").status_code for number in range(FREE + 1)]

    assert statuses == [200] * FREE + [429]
    assert _confirm(tired).status_code == 429
    assert _asked(tired.get("/admin/auth/user/add/"))


def test_a_stranger_is_sent_to_log_in_and_not_to_confirm(client: Client) -> None:
    for path in (CONFIRM, "/admin/auth/user/add/", "/admin/two-factor/", "/admin/sessions/"):
        assert client.get(path)["Location"].startswith("/admin/login/")
        assert client.post(path, {"password": "secret"})["Location"].startswith("/admin/login/")


def _rejected() -> RegisteredModel:
    model = make_champion(make_model()).registered_model
    make_version(model, gate=make_gate("REJECT"))
    return model


def test_an_override_by_api_needs_a_password_typed_lately(tired: Client) -> None:
    model = _rejected()
    body = {"version": 2, "reason": "x", "override": True}

    def promote():
        return tired.post("/api/models/leaves/promote/", body, content_type="application/json")

    refused = promote()
    assert refused.status_code == 403
    assert refused.json()["errors"][0]["code"] == "reauthentication_required"
    model.refresh_from_db()
    assert model.generation == 1

    assert _confirm(tired).status_code == 302
    assert promote().status_code == 200


def test_an_override_in_the_admin_asks_for_the_password(tired: Client) -> None:
    model = _rejected()
    page = page_of(model.versions.get(number=2), "promote")
    form = {"reason": "x", "override": "on", "expected_generation": "1"}

    assert _asked(tired.post(page, form))
    model.refresh_from_db()
    assert model.generation == 1
    _confirm(tired)
    assert tired.post(page, form).status_code == 302
    model.refresh_from_db()
    assert model.generation == 2


def test_what_the_gate_let_past_is_promoted_without(tired: Client) -> None:
    model = make_champion(make_model()).registered_model
    make_version(model)
    body = {"version": 2, "reason": "x"}

    sent = tired.post("/api/models/leaves/promote/", body, content_type="application/json")

    assert sent.status_code == 200


def test_commands_ask_for_no_password() -> None:
    model = _rejected()
    make_user("root", is_superuser=True)

    call_command("create_api_key", "robot", "--scopes", "read", "--as", "root")
    call_command("revoke_api_key", "robot", "--as", "root")

    assert model.generation == 1


def test_a_login_counts_as_a_password_typed_lately(settings) -> None:
    make_user("boss", is_staff=True, is_superuser=True)
    browser = Client(HTTP_ACCEPT="text/html")
    browser.post("/admin/login/", {"username": "boss", "password": "secret"})

    assert browser.get("/admin/auth/user/add/").status_code == 200
    assert _asked(with_old_password(browser).get("/admin/auth/user/add/"))


def test_managers_are_still_refused_what_they_may_not(manager: Client) -> None:
    assert manager.get("/admin/auth/user/add/").status_code == 403
    assert staff("other", "manager").get("/admin/everlearn/apikey/add/").status_code == 403
