"""models_app/strangers.py: whose address counts, and how often."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from models_app import strangers
from models_app.models import Prediction
from models_app.refusals import TooOften
from models_app.strangers import Crowd, address_of, network_of
from tests.factories import LONG, make_champion

FORGED = "198.51.100.7, 203.0.113.9"
PREDICT = "/api/models/leaves/predict/"


@pytest.mark.parametrize(
    ("proxies", "told", "expected"),
    [
        (0, FORGED, "10.0.0.1"),
        (0, "", "10.0.0.1"),
        (1, FORGED, "203.0.113.9"),
        (2, FORGED, "198.51.100.7"),
        (3, FORGED, "198.51.100.7"),
        (1, "", "10.0.0.1"),
        (1, "no address", "10.0.0.1"),
        (1, "2001:db8::7", "2001:db8::7"),
    ],
)
def test_only_what_a_proxy_of_ours_added_counts(
    settings: Any, proxies: int, told: str, expected: str
) -> None:
    settings.EVERLEARN_TRUSTED_PROXIES = proxies
    meta = {"REMOTE_ADDR": "10.0.0.1"} | ({"HTTP_X_FORWARDED_FOR": told} if told else {})

    assert address_of(meta) == expected


def test_an_ipv6_subscriber_counts_as_one() -> None:
    assert network_of("2001:db8:1:2:3:4:5:6") == network_of("2001:db8:1:2::9") == "2001:db8:1:2::"
    assert network_of("::ffff:10.0.0.1") == network_of("10.0.0.1") == "10.0.0.1"
    assert network_of("fe80::1%eth0") == "fe80::"
    assert network_of("") == ""


@pytest.fixture
def _few(settings: Any) -> Any:
    settings.EVERLEARN_ANONYMOUS_PER_MINUTE = 5
    strangers.strangers.counts.clear()
    yield
    strangers.strangers.counts.clear()


@pytest.mark.django_db
@pytest.mark.usefixtures("_few")
def test_a_stranger_who_asks_too_often_waits_and_others_do_not(client_with: Any) -> None:
    """A6. Neither another address nor a key is kept from asking."""
    make_champion()
    body = {"instances": [LONG]}
    answers = [
        APIClient().post(PREDICT, body, headers={"X-Forwarded-For": f"203.0.113.{number}"})
        for number in range(7)
    ]

    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
    refused = answers[-1]
    assert refused.json()["errors"][0]["code"] == "throttled"
    assert 1 <= int(refused["Retry-After"]) <= 61
    assert Prediction.objects.count() == 5
    page = Client(HTTP_ACCEPT="text/html").post("/models/leaves/", {"length": "9", "width": "1"})
    assert page.status_code == 429
    assert page["Content-Type"].startswith("text/html")
    assert page["Retry-After"]
    assert APIClient(REMOTE_ADDR="203.0.113.1").post(PREDICT, body).status_code == 200
    assert client_with("predict").post(PREDICT, body).status_code == 200
    assert APIClient().get("/health").status_code == 200


def test_a_new_minute_begins_at_nothing(settings: Any) -> None:
    settings.EVERLEARN_ANONYMOUS_PER_MINUTE = 1
    crowd = Crowd()
    crowd.admit("10.0.0.1")
    with pytest.raises(TooOften):
        crowd.admit("10.0.0.1")

    crowd.window -= 1

    crowd.admit("10.0.0.1")


def test_counting_a_stranger_costs_next_to_nothing() -> None:
    """It is on the way to every anonymous prediction, of some 500 microseconds."""
    crowd, times, most = Crowd(), 2000, 50e-6

    def took() -> float:
        began = time.perf_counter()
        for _ in range(times):
            crowd.admit("203.0.113.1")
        return (time.perf_counter() - began) / times

    assert min(took() for _ in range(5)) < most
