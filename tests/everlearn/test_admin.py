"""everlearn/admin.py: accounts and API keys in the control room."""

import re

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from everlearn.keys import create_key
from everlearn.models import ApiKey
from models_app.actors import system_user
from tests.staff import page_of

pytestmark = pytest.mark.django_db

KEYS = "/admin/everlearn/apikey/"


def _status(key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    return APIClient().get("/api/models/x/versions/", headers=headers).status_code


def _new_key(boss: Client, **fields: object) -> str:
    form = {"name": "robot", "scopes": ["read", "predict"], **fields}
    return boss.post(f"{KEYS}add/", form).text


def test_a_superuser_makes_a_key_that_is_shown_once(boss: Client) -> None:
    page = _new_key(boss, expires="30d")

    found = re.search(r'<code id="key">([^<]+)</code>', page)
    assert found
    key = found[1]
    assert _status(key) == 404  # let in
    stored = ApiKey.objects.get()
    assert stored.scopes == ["predict", "read"]
    assert stored.expiry_date is not None
    secret = key.partition(".")[2]
    for shown in (KEYS, page_of(stored)):
        assert secret not in boss.get(shown).text
        assert stored.prefix in boss.get(shown).text


@pytest.mark.parametrize(
    "fields",
    [{"scopes": []}, {"scopes": ["fly"]}, {"name": "two words"}, {"expires": "soon"}, {"name": ""}],
)
def test_an_unfit_key_is_not_made_and_the_form_says_why(
    boss: Client, fields: dict[str, object]
) -> None:
    answer = boss.post(f"{KEYS}add/", {"name": "robot", "scopes": ["read"], **fields})

    assert answer.status_code == 400
    assert not ApiKey.objects.exists()


def test_the_list_tells_scopes_last_use_and_state(boss: Client) -> None:
    key = create_key("robot", ["read", "retrain"], actor=system_user("cli"))
    _status(key)

    page = boss.get(KEYS).text

    assert "read, retrain" in page
    assert "live" in page
    used = ApiKey.objects.get().last_used_at
    assert used is not None
    assert f"{used:%B}"[:3] in page


def test_a_superuser_revokes_a_key_after_a_second_thought(boss: Client) -> None:
    key = create_key("robot", ["read"], actor=system_user("cli"))
    page = page_of(ApiKey.objects.get(), "revoke")

    assert "Revoke robot?" in boss.get(page).text
    assert _status(key) == 404
    boss.post(page)

    assert ApiKey.objects.get().revoked
    assert "revoked" in boss.get(KEYS).text


def test_a_manager_sees_and_makes_no_keys(manager: Client) -> None:
    create_key("robot", ["read"], actor=system_user("cli"))
    revoke = page_of(ApiKey.objects.get(), "revoke")

    for path in (KEYS, f"{KEYS}add/", revoke):
        assert manager.get(path).status_code == 403
        assert manager.post(path, {"name": "mine", "scopes": ["read"]}).status_code == 403
    assert list(ApiKey.objects.values_list("name", "revoked")) == [("robot", False)]


def test_staff_manage_accounts(boss: Client) -> None:
    for name in ("auth_user_changelist", "auth_user_add", "auth_group_changelist"):
        assert boss.get(reverse(f"admin:{name}")).status_code == 200


def test_our_own_groups_are_kept_to_the_table_and_others_are_free(boss: Client) -> None:
    ours, other = Group.objects.get(name="viewer"), Group.objects.create(name="guests")

    assert boss.post(page_of(ours), {"name": "viewer"}).status_code == 403
    assert boss.post(page_of(ours, "delete"), {"post": "yes"}).status_code == 403
    assert boss.post(page_of(other), {"name": "friends"}).status_code == 302
    assert Group.objects.filter(name="friends").exists()


def test_a_service_account_cannot_log_in(client: Client) -> None:
    create_key("robot", ["read"], actor=system_user("cli"))

    answer = client.post("/admin/login/", {"username": "key-robot", "password": ""})

    assert "_auth_user_id" not in client.session
    assert answer.status_code == 200
    assert not User.objects.get(username="key-robot").has_usable_password()
