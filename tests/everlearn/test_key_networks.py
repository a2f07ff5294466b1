"""Keys that are limited to networks, and keys that are rolled."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from everlearn import keys
from everlearn.authentication import KeyAuthentication
from everlearn.key_rolling import roll_key
from everlearn.models import ApiKey
from models_app.actors import system_user
from models_app.models import Prediction
from tests.factories import LONG, make_champion
from tests.staff import page_of

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def _made(*networks: str, name: str = "robot", **options: object) -> str:
    more: dict[str, object] = {"scopes": ["read"], "networks": networks, **options}
    return keys.create_key(name, actor=system_user("cli"), **more)  # type: ignore[arg-type]


def _status(key: str, address: str = "127.0.0.1", **headers: str) -> int:
    """What a request with the key meets; 404 is let in."""
    sent = {"Authorization": f"Bearer {key}", **headers}
    client = APIClient(REMOTE_ADDR=address)
    return client.get("/api/models/x/versions/", headers=sent).status_code


def _roll(name: str = "robot", overlap: timedelta = HOUR) -> str:
    return roll_key(name, actor=system_user("cli"), overlap=overlap)


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
        ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
        ("192.0.2.7", "::ffff:192.0.2.7", "::ffff:192.0.2.8"),
        ("2001:db8::/48", "2001:db8:0:ffff::1", "2001:db8:1::1"),
        ("192.0.2.0/24", "192.0.2.1", "not an address"),
        ("::/0", "2001:db8::1", "192.0.2.1"),
    ],
)
def test_a_key_is_let_in_from_its_networks_alone(network: str, inside: str, outside: str) -> None:
    key = _made(network)

    assert _status(key, inside) == 404
    assert _status(key, outside) == 401
    # Though it is remembered by now, and the other way round.
    assert [_status(key, one) for one in (outside, inside, outside)] == [401, 404, 401]


def test_no_header_pretends_to_be_in_the_network() -> None:
    key = _made("192.0.2.0/24")
    pretended = {"X-Forwarded-For": "192.0.2.1", "X-Real-IP": "192.0.2.1", "Forwarded": "192.0.2.1"}

    assert _status(key, "198.51.100.5", **pretended) == 401


def test_behind_a_trusted_proxy_the_client_counts(settings) -> None:
    settings.EVERLEARN_TRUSTED_PROXIES = 1
    key = _made("192.0.2.0/24")

    assert _status(key, "10.0.0.1", **{"X-Forwarded-For": "192.0.2.1"}) == 404
    assert _status(key, "192.0.2.1", **{"X-Forwarded-For": "192.0.2.1, 198.51.100.5"}) == 401


def test_the_refusal_names_no_network_and_public_models_are_refused_too() -> None:
    make_champion()
    key = _made("192.0.2.0/24", scopes=["predict"])
    client = APIClient(REMOTE_ADDR="198.51.100.5")

    answer = client.post(
        "/api/models/leaves/predict/",
        {"instances": [LONG]},
        headers={"Authorization": f"Bearer {key}"},
    )

    assert answer.status_code == 401
    assert "192.0.2" not in answer.text
    assert "network" in answer.json()["errors"][0]["detail"]
    assert not Prediction.objects.exists()


def test_a_remembered_key_with_networks_costs_no_query(django_assert_num_queries) -> None:
    key = _made("127.0.0.0/8")
    assert _status(key) == 404

    with django_assert_num_queries(0):
        client = APIClient(REMOTE_ADDR="127.0.0.1")
        client.get("/api/schema/", headers={"Authorization": f"Bearer {key}"})


@pytest.mark.parametrize("network", ["192.0.2.1/24", "everywhere", "192.0.2.0/33", "1.2.3"])
def test_what_is_no_network_makes_no_key(network: str) -> None:
    with pytest.raises(CommandError, match=r"192\.0\.2\.0/24"):
        call_command("create_api_key", "robot", scopes="read", networks=network)
    assert not ApiKey.objects.exists()
    assert not User.objects.filter(username="key-robot").exists()


def test_the_command_and_the_form_take_networks(capsys, boss: Client) -> None:
    call_command("create_api_key", "robot", scopes="read", networks="192.0.2.0/24, ::1")
    key = capsys.readouterr().out.splitlines()[-1]
    assert [_status(key, one) for one in ("192.0.2.1", "::1", "127.0.0.1")] == [404, 404, 401]

    form = {"name": "other", "scopes": ["read"], "networks": "10.0.0.0/8 fd00::/8"}
    boss.post("/admin/everlearn/apikey/add/", form)
    assert ApiKey.objects.get(name="other").networks == ["10.0.0.0/8", "fd00::/8"]
    assert "10.0.0.0/8, fd00::/8" in boss.get("/admin/everlearn/apikey/").text
    wrong = boss.post("/admin/everlearn/apikey/add/", form | {"name": "x", "networks": "here"})
    assert wrong.status_code == 400
    assert not ApiKey.objects.filter(name="x").exists()


def test_the_networks_of_a_key_are_changed_in_the_admin(boss: Client, manager: Client) -> None:
    key = _made()
    page = page_of(ApiKey.objects.get(), "limit")
    assert manager.post(page, {"networks": "::1"}).status_code == 403

    boss.post(page, {"networks": "192.0.2.0/24"})
    KeyAuthentication.remembered.clear()
    assert [_status(key, one) for one in ("192.0.2.1", "198.51.100.5")] == [404, 401]

    boss.post(page, {"networks": ""})
    KeyAuthentication.remembered.clear()
    assert _status(key, "198.51.100.5") == 404


def test_a_rolled_key_works_beside_the_new_one_until_the_overlap_ends() -> None:
    old = _made("127.0.0.0/8", scopes=["read", "predict"])
    new = _roll()

    assert new != old
    assert [_status(key) for key in (old, new)] == [404, 404]
    assert _status(new, "198.51.100.5") == 401
    rows = {row.prefix: row for row in ApiKey.objects.all()}
    before, after = rows[old.partition(".")[0]], rows[new.partition(".")[0]]
    assert (after.name, after.user, after.scopes) == ("robot", before.user, before.scopes)
    assert after.expiry_date is None
    assert before.expiry_date is not None
    assert timedelta(minutes=59) < before.expiry_date - timezone.now() <= HOUR

    ApiKey.objects.filter(pk=before.pk).update(expiry_date=timezone.now())
    KeyAuthentication.remembered.clear()
    assert [_status(key) for key in (old, new)] == [401, 404]


def test_a_key_that_expires_is_rolled_into_one_that_lives_as_long_and_gains_no_time() -> None:
    old = _made(expires_in=timedelta(days=30))
    ends = timezone.now() + timedelta(minutes=10)
    ApiKey.objects.update(expiry_date=ends, created=ends - timedelta(days=30))
    new = _roll()

    expiry = {row.prefix: row.expiry_date for row in ApiKey.objects.all()}
    assert expiry[old.partition(".")[0]] == ends
    lives = (expiry[new.partition(".")[0]] or ends) - timezone.now()
    assert timedelta(days=29, hours=23) < lives <= timedelta(days=30)


def test_revoking_ends_the_new_key_and_those_before_it() -> None:
    given = [_made()]
    given += [_roll(), _roll()]
    assert [_status(key) for key in given] == [404] * 3

    keys.revoke_key("robot", actor=system_user("cli"))
    KeyAuthentication.remembered.clear()

    assert [_status(key) for key in given] == [401] * 3
    assert _made()  # the name is free again


def test_a_key_with_a_similar_name_is_left_alone() -> None:
    other = _made(name="robot2")
    _made()
    _roll()

    keys.revoke_key("robot", actor=system_user("cli"))
    KeyAuthentication.remembered.clear()

    assert _status(other) == 404


def test_the_command_rolls_a_key_and_shows_the_new_one_last(capsys) -> None:
    old = _made()

    call_command("roll_api_key", "robot", overlap="0s")
    new = capsys.readouterr().out.splitlines()[-1]

    assert [_status(key) for key in (old, new)] == [401, 404]
    for words, why in (
        (["ghost"], "no key named ghost"),
        (["robot", "--overlap", "soon"], "--overlap"),
        (["robot", "--overlap", "91d"], "at most 90 days"),
    ):
        with pytest.raises(CommandError, match=why):
            call_command("roll_api_key", *words)


def test_a_key_is_rolled_in_the_admin_and_the_new_one_shown_once(boss: Client) -> None:
    old = _made(name="x" * 50)
    page = page_of(ApiKey.objects.get(), "roll")
    assert "24h" in boss.get(page).text
    assert boss.post(page, {"overlap": "soon"}).status_code == 400

    shown = boss.post(page, {"overlap": "1h"}).text

    found = re.search(r'<code id="key">([^<]+)</code>', shown)
    assert found
    assert [_status(key) for key in (old, found[1])] == [404, 404]
    assert found[1].partition(".")[2] not in boss.get("/admin/everlearn/apikey/").text
    assert "rolled" in boss.get("/admin/everlearn/apikey/").text
    # What was rolled is not rolled again; pressing the button twice makes no second key.
    assert boss.post(page, {"overlap": "1h"}).status_code == 400
    assert ApiKey.objects.count() == 2
