"""models_app/strikes.py: who fails too often has to wait, and nobody else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from models_app.refusals import TooOften
from models_app.strikes import ALLOWED, Kind, Strike, refuse_if_out, strike

pytestmark = pytest.mark.django_db


def _strike_out(address: str = "203.0.113.1") -> None:
    for _ in range(ALLOWED[Kind.LINK]):
        refuse_if_out(Kind.LINK, address)
        strike(Kind.LINK, address)


def test_as_many_failures_as_are_allowed_close_the_door_to_the_address_alone() -> None:
    _strike_out()

    with pytest.raises(TooOften) as refused:
        refuse_if_out(Kind.LINK, "203.0.113.1")
    assert 1 <= refused.value.wait <= 61
    refuse_if_out(Kind.LINK, "203.0.113.2")
    refuse_if_out(Kind.LOGIN, "203.0.113.1")


def test_addresses_of_one_ipv6_subscriber_count_together() -> None:
    for number in range(ALLOWED[Kind.LINK]):
        strike(Kind.LINK, f"2001:db8:1:2::{number:x}")

    with pytest.raises(TooOften):
        refuse_if_out(Kind.LINK, "2001:db8:1:2:ffff::1")


def test_the_door_opens_again_and_old_failures_are_forgotten() -> None:
    _strike_out()
    Strike.objects.update(ends_at=timezone.now() - timedelta(seconds=1))

    refuse_if_out(Kind.LINK, "203.0.113.1")
    strike(Kind.LINK, "203.0.113.2")

    assert [row.network for row in Strike.objects.all()] == ["203.0.113.2"]
