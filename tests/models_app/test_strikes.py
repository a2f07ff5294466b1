"""models_app/strikes.py: who fails too often has to wait, and nobody else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from models_app.refusals import TooOften
from models_app.strikes import ALLOWED, Kind, Strike, count_failure

pytestmark = pytest.mark.django_db


def _use_up(address: str = "203.0.113.1") -> None:
    for _ in range(ALLOWED[Kind.LINK]):
        count_failure(Kind.LINK, address)


def test_as_many_failures_as_are_allowed_close_the_door_to_the_address_alone() -> None:
    _use_up()

    with pytest.raises(TooOften) as refused:
        count_failure(Kind.LINK, "203.0.113.1")
    assert 1 <= refused.value.wait <= 61
    count_failure(Kind.LINK, "203.0.113.2")
    count_failure(Kind.KEY, "203.0.113.1")


def test_addresses_of_one_ipv6_subscriber_count_together() -> None:
    for number in range(ALLOWED[Kind.LINK]):
        count_failure(Kind.LINK, f"2001:db8:1:2::{number:x}")

    with pytest.raises(TooOften):
        count_failure(Kind.LINK, "2001:db8:1:2:ffff::1")


def test_the_door_opens_again_and_old_failures_are_forgotten() -> None:
    _use_up()
    Strike.objects.update(ends_at=timezone.now() - timedelta(seconds=1))

    count_failure(Kind.LINK, "203.0.113.2")
    count_failure(Kind.LINK, "203.0.113.1")

    assert {row.network: row.count for row in Strike.objects.all()} == {
        "203.0.113.1": 1, "203.0.113.2": 1,
    }  # fmt: skip


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("standing", [0, ALLOWED[Kind.LINK] - 3])
def test_of_many_failures_at_once_no_more_are_let_through_than_are_allowed(standing: int) -> None:
    for _ in range(standing):
        count_failure(Kind.LINK, "203.0.113.1")

    def fail(_: int) -> bool:
        try:
            count_failure(Kind.LINK, "203.0.113.1")
        except TooOften:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(20) as pool:
        let_through = sum(pool.map(fail, range(60)))

    assert let_through == ALLOWED[Kind.LINK] - standing
