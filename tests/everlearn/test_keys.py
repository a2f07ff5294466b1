"""everlearn/keys.py, authentication.py and the two commands."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.utils import timezone
from rest_framework.test import APIClient

from everlearn import authentication, keys
from everlearn.access import SCOPES
from everlearn.key_quotas import set_quotas
from everlearn.models import ApiKey, KeyHolder
from models_app.strikes import ALLOWED, Kind
from models_app.usage import QuotaOverride
from tests.factories import make_user

pytestmark = pytest.mark.django_db


def _made(capsys, name="robot", scopes="read,predict"):
    call_command("create_api_key", name, scopes=scopes)
    return capsys.readouterr().out.splitlines()[-1]


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _status(api, key: str):
    return api.get("/api/schema/", headers=_bearer(key)).status_code


def test_the_command_prints_a_key_that_works(api, capsys):
    key = _made(capsys)

    assert _status(api, key) == 200


def test_only_a_hash_of_the_key_is_stored(capsys):
    secret = _made(capsys).partition(".")[2]

    stored = ApiKey.objects.values().get()
    assert secret not in repr(stored)


def test_the_key_has_an_account_that_may_do_what_its_scopes_say_and_cannot_log_in(capsys):
    _made(capsys, scopes="predict,retrain")

    account = ApiKey.objects.get().user
    assert not account.has_usable_password()
    assert not account.is_staff
    assert account.get_all_permissions() == {*SCOPES["predict"], *SCOPES["retrain"]}


@pytest.mark.parametrize("scopes", ["", "fly", "read,fly"])
def test_an_unknown_scope_is_refused_with_those_there_are(scopes):
    with pytest.raises(CommandError, match="scopes are read, predict, feedback"):
        call_command("create_api_key", "robot", scopes=scopes)

    assert not User.objects.filter(username="key-robot").exists()


@pytest.mark.parametrize("name", ["", "x" * 51, "two words", "a\nb"])
def test_an_unfit_name_is_refused(name):
    with pytest.raises(CommandError, match="1 to 50"):
        call_command("create_api_key", name, scopes="read")


def test_a_name_in_use_is_refused_and_free_again_once_revoked(capsys):
    _made(capsys)
    with pytest.raises(CommandError, match="in use"):
        _made(capsys)

    call_command("revoke_api_key", "robot")

    _made(capsys, scopes="reload")
    account = User.objects.get(username="key-robot")
    assert account.get_all_permissions() == set(SCOPES["reload"])


def test_a_persons_account_never_becomes_a_keys():
    User.objects.create_user("key-robot", password="x")

    with pytest.raises(CommandError, match="a person's account"):
        call_command("create_api_key", "robot", scopes="read")


def test_a_revoked_key_is_refused_within_five_seconds(api, capsys):
    key = _made(capsys)
    assert _status(api, key) == 200
    call_command("revoke_api_key", "robot")

    remembered = authentication.KeyAuthentication.remembered
    for digest, (until, holder) in remembered.items():
        remembered[digest] = (until - 5, holder)

    assert _status(api, key) == 401


def test_revoking_what_is_not_there_is_refused():
    with pytest.raises(CommandError, match="no key named ghost"):
        call_command("revoke_api_key", "ghost")


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Bearer a.b",
        "Token x",
        "Basic Zm9vOmJhcg==",
        "Bearer é",
    ],
)
def test_a_wrong_key_is_told_so_even_where_none_is_needed(api, header):
    answer = api.get("/api/schema/", headers={"Authorization": header})

    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"
    assert answer.json()["errors"][0]["code"] == "authentication_failed"


def test_a_key_expires_after_as_long_as_was_said(api, capsys):
    call_command("create_api_key", "guest", scopes="read", expires="90d")
    key = capsys.readouterr().out.splitlines()[-1]

    left = ApiKey.objects.get().expiry_date - timezone.now()
    assert timedelta(days=89, hours=23) < left <= timedelta(days=90)
    assert _status(api, key) == 200


@pytest.mark.parametrize("expires", ["", "soon", "90", "-1d", "0d"])
def test_an_expiry_that_is_none_makes_no_key(expires):
    with pytest.raises(CommandError, match=r"90d|no duration"):
        call_command("create_api_key", "guest", scopes="read", expires=expires)

    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("role", ["viewer", "manager"])
def test_nobody_but_a_superuser_makes_or_revokes_keys(role, capsys):
    make_user("max", groups=(role,), is_staff=True)
    _made(capsys)

    for words in (["create_api_key", "mine", "--scopes", "read"], ["revoke_api_key", "robot"]):
        with pytest.raises(CommandError, match="needs"):
            call_command(*words, "--as", "max")

    assert list(ApiKey.objects.values_list("name", "revoked")) == [("robot", False)]


def test_the_log_names_a_key_by_its_prefix_alone(capsys, caplog):
    key = _made(capsys)
    call_command("revoke_api_key", "robot")

    prefix, _, secret = key.partition(".")
    assert prefix in caplog.text
    assert secret not in caplog.text


@pytest.mark.parametrize("name", ["api_key", "key", "token", "Authorization", "anything"])
@pytest.mark.parametrize("path", ["/api/models/", "/predict", "/health", "/docs", "/nothing"])
def test_a_key_in_an_address_is_refused_and_not_logged(api, capsys, caplog, path, name):
    """A5: addresses are kept in logs and histories, and a key must not be."""
    key = _made(capsys)
    answers = [api.get(f"{path}?{name}={sent}") for sent in (key, f"Bearer%20{key}")]
    answers.append(api.get(f"{path}?{name}={key.replace('.', '%2E')}", headers=_bearer(key)))

    for answer in answers:
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["code"] == "key_in_address"
        assert key not in answer.text
    assert key not in caplog.text


def test_an_expired_key_is_refused(api, capsys):
    key = _made(capsys)
    ApiKey.objects.update(expiry_date=timezone.now() - timedelta(seconds=1))

    assert _status(api, key) == 401


def test_a_key_of_an_inactive_account_is_refused(api, capsys):
    key = _made(capsys)
    User.objects.filter(username="key-robot").update(is_active=False)

    assert _status(api, key) == 401


def test_a_known_key_costs_no_query(api, capsys, django_assert_num_queries):
    key = _made(capsys).encode()
    door = authentication.KeyAuthentication()
    door._holder(key)

    with django_assert_num_queries(0):
        door._holder(key)


@pytest.mark.parametrize("wrong", ["Bearer wrong.{0}", "Token {0}"])
def test_who_guesses_keys_waits_whatever_address_the_headers_pretend(api, capsys, wrong):
    """A6. Neither others nor whoever has a right key at that address."""
    key, allowed = _made(capsys), ALLOWED[Kind.KEY]
    guesses = [
        api.get(
            "/api/models/",
            headers={"Authorization": wrong.format(number), "X-Forwarded-For": f"10.0.0.{number}"},
        )
        for number in range(allowed + 5)
    ]

    assert [one.status_code for one in guesses] == [401] * allowed + [429] * 5
    assert guesses[-1].json()["errors"][0]["code"] == "throttled"
    assert 1 <= int(guesses[-1]["Retry-After"]) <= 61
    assert _status(api, key) == 200
    assert api.get("/api/models/").status_code == 200
    elsewhere = APIClient(REMOTE_ADDR="203.0.113.9")
    assert _status(elsewhere, key) == 200
    assert _status(elsewhere, "wrong") == 401


def test_the_last_use_is_kept_to_the_minute(api, capsys):
    key = _made(capsys)
    assert _status(api, key) == 200
    first = ApiKey.objects.get().last_used_at
    assert timezone.now() - first < timedelta(seconds=30)

    authentication.KeyAuthentication.remembered.clear()
    assert _status(api, key) == 200

    assert ApiKey.objects.get().last_used_at == first


def test_a_superusers_key_is_no_wider_than_its_scopes():
    root = User.objects.create_superuser("root")
    _, key = ApiKey.objects.create_key(name="narrow", user=root, scopes=["read"])

    holder = keys.verify(key.encode())

    assert holder.has_perms(SCOPES["read"])
    assert not holder.has_perms(SCOPES["promote"])
    assert not holder.has_perm("models_app.override_gate")


def test_a_key_is_no_wider_than_what_its_account_may():
    nobody = User.objects.create_user("nobody")
    _, key = ApiKey.objects.create_key(name="hollow", user=nobody, scopes=["promote"])

    assert not keys.verify(key.encode()).has_perms(SCOPES["promote"])


def test_a_holder_that_nobody_narrowed_may_do_nothing():
    root = User.objects.create_superuser("root")

    assert not KeyHolder.objects.get(pk=root.pk).has_perm("models_app.view_prediction")


def test_a_key_is_made_with_quotas_of_its_own_and_given_others(capsys):
    call_command("create_api_key", "robot", scopes="predict", rows=7, mebibytes=0)
    account = ApiKey.objects.get().user
    assert account.quota_override.quota == (20_000_000, 7, 1_000_000, 0)

    call_command("set_key_quotas", "robot", "--feedback-per-day", "3")
    account.refresh_from_db()
    assert account.quota_override.quota[1:3] == (10_000_000, 3)

    call_command("set_key_quotas", "robot")
    assert not QuotaOverride.objects.exists()
    with pytest.raises(CommandError, match="no key named ghost"):
        call_command("set_key_quotas", "ghost")


def test_an_unfit_quota_makes_no_key():
    with pytest.raises(CommandError, match="a whole number from 0"):
        call_command("create_api_key", "robot", scopes="predict", rows=-1)

    assert not ApiKey.objects.exists()


def test_only_superusers_set_quotas(capsys):
    _made(capsys)

    with pytest.raises(PermissionDenied):
        set_quotas("robot", {"rows": 5}, actor=make_user(groups=("manager",)))

    assert not QuotaOverride.objects.exists()
