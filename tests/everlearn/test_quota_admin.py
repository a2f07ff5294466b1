"""everlearn/quota_admin.py: quotas of keys and the use of each client, in the control room."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from rest_framework.test import APIClient

from everlearn.keys import create_key
from everlearn.models import ApiKey
from models_app.actors import system_user
from models_app.usage import tracker
from tests.factories import LONG, make_champion
from tests.staff import page_of

pytestmark = pytest.mark.django_db

KEYS, USAGE = "/admin/everlearn/apikey/", "/admin/models_app/dailyusage/"


def _ask(rows: int, *, key: str = "") -> int:
    client = APIClient(REMOTE_ADDR="203.0.113.9")
    if key:
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    return client.post("/api/models/leaves/predict/", {"instances": [LONG] * rows}).status_code


def test_a_superuser_sets_the_quotas_of_a_key_and_sees_its_use_beside_them(boss: Client) -> None:
    make_champion()
    key = create_key("robot", ["predict"], actor=system_user("cli"))
    row = ApiKey.objects.get()
    assert _ask(20, key=key) == 200

    assert boss.post(page_of(row, "quotas"), {"rows": "30"}).status_code == 302

    assert _ask(11, key=key) == 429
    assert _ask(10, key=key) == 200
    tracker.sync()
    assert "30 of 30" in boss.get(KEYS).text
    page = re.sub(r"<[^>]+>|\s+", " ", boss.get(page_of(row)).text)
    assert re.search(r"predicted rows +30 +30 ", page)
    assert 'value="30"' in boss.get(page_of(row, "quotas")).text
    assert boss.post(page_of(row, "quotas"), {"rows": "-1"}).status_code == 400


def test_a_key_is_made_with_quotas(boss: Client) -> None:
    make_champion()
    made = boss.post(f"{KEYS}add/", {"name": "robot", "scopes": ["predict"], "rows": "5"}).text
    found = re.search(r'<code id="key">([^<]+)</code>', made)
    assert found

    assert _ask(6, key=found[1]) == 429
    assert _ask(5, key=found[1]) == 200


def test_who_used_most_is_listed_for_managers(manager: Client, viewer: Client) -> None:
    make_champion()
    key = create_key("robot", ["predict"], actor=system_user("cli"))
    _ask(3)
    _ask(700, key=key)
    tracker.sync()

    page = manager.get(USAGE).text

    assert page.index("key-robot") < page.index("network 203.0.113.9")
    assert "700" in page
    assert viewer.get(USAGE).status_code == 403
