from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models_app.learning.triggers import (
    Due,
    Observed,
    SourceState,
    check_schedule,
    due,
    parse_duration,
    passes_over,
    wants_look,
)

NOON = datetime(2024, 5, 31, 12, tzinfo=UTC)
NIGHTLY = {"schedule": "0 3 * * *"}


def observed(**changes: Any) -> Observed:
    seen = {"now": NOON, "feedback": 0, "considered_at": NOON, "last_ended_at": None}
    return Observed(**{**seen, **changes})


def trigger_of(policy: dict[str, Any], **changes: Any) -> str | None:
    wanted = due(policy, observed(**changes))
    return wanted.trigger if wanted else None


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("15m", 900), ("6h", 21_600), ("1d", 86_400)]
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1w", "1 h", "1h\n", "٣h", 60, None])
def test_anything_else_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)


@pytest.mark.parametrize("schedule", ["", "0 3 * *", "0 25 * * *", "0 0 30 2 *", "* * * * * *"])
def test_a_schedule_is_a_cron_line_that_comes_round(schedule: str) -> None:
    with pytest.raises(ValueError, match="is no cron line"):
        check_schedule(schedule)


def test_nothing_is_due_without_a_policy() -> None:
    assert due({}, observed(feedback=10_000, considered_at=NOON - timedelta(days=9))) is None


def test_feedback_is_due_once_there_is_as_much_as_the_policy_asks_for() -> None:
    assert due({"feedback": 100}, observed(feedback=99)) is None
    assert due({"feedback": 100}, observed(feedback=104)) == Due(
        "feedback", "104 accepted feedback since the last snapshot; the policy asks for 100"
    )


def test_a_slot_is_due_once_it_has_passed() -> None:
    yesterday = NOON - timedelta(days=1)

    assert trigger_of(NIGHTLY, considered_at=yesterday) == "schedule"
    assert trigger_of(NIGHTLY, considered_at=NOON.replace(hour=4)) is None


def test_a_slot_is_due_at_its_very_minute() -> None:
    three = NOON.replace(hour=3)

    assert trigger_of(NIGHTLY, now=three, considered_at=three - timedelta(minutes=1)) == "schedule"
    assert trigger_of(NIGHTLY, now=three + timedelta(seconds=5), considered_at=three) is None


def test_slots_that_were_missed_are_caught_up_with_once() -> None:
    wanted = due(NIGHTLY, observed(considered_at=NOON - timedelta(days=30)))

    assert wanted == Due("schedule", "the schedule 0 3 * * * came round at 2024-05-31 03:00 UTC")
    assert due(NIGHTLY, observed(considered_at=NOON)) is None


@pytest.mark.parametrize(("minutes", "trigger"), [(59, None), (60, "feedback")])
def test_every_trigger_waits_for_the_cool_down(minutes: int, trigger: str | None) -> None:
    ended = NOON - timedelta(minutes=minutes)

    assert trigger_of({"feedback": 1}, feedback=5, last_ended_at=ended) == trigger


def test_the_policy_says_how_long_the_cool_down_is() -> None:
    policy = {"feedback": 1, "cooldown": "30s"}

    assert trigger_of(policy, feedback=5, last_ended_at=NOON - timedelta(seconds=29)) is None
    assert trigger_of(policy, feedback=5, last_ended_at=NOON - timedelta(seconds=30)) == "feedback"


KNOWN = SourceState("here", "one", 100)
# A slot at 3:00, nine hours ago, with nothing new but perhaps the source.
QUIET = {"considered_at": NOON - timedelta(days=1), "learnt_from": KNOWN}
SLOT = NOON.replace(hour=3)
MINUTE = timedelta(minutes=1)


def asks(**changes: Any) -> tuple[str | None, bool, bool]:
    """Which trigger asks for a run, whether a look is wanted, whether the slot is passed over."""
    known = observed(**{**QUIET, **changes})
    looks = wants_look(NIGHTLY, known, every=MINUTE)
    return trigger_of(NIGHTLY, **{**QUIET, **changes}), looks, passes_over(NIGHTLY, known)


def test_a_slot_waits_for_a_look_but_not_for_long() -> None:
    assert asks() == (None, True, False)
    assert asks(seen=KNOWN, seen_at=SLOT - MINUTE) == (None, True, False)
    assert asks(waiting_since=NOON - MINUTE) == (None, True, False)
    assert asks(waiting_since=NOON - 2 * MINUTE) == ("schedule", True, False)


def test_a_slot_is_passed_over_when_the_source_is_what_the_last_snapshot_was_made_of() -> None:
    seen = SourceState("here", "one")

    assert asks(seen=seen, seen_at=SLOT) == (None, False, True)
    assert asks(considered_at=SLOT, seen=seen, seen_at=SLOT) == (None, False, False)


@pytest.mark.parametrize(
    "changes",
    [
        {"seen": SourceState("here", "two")},
        {"seen": SourceState("elsewhere", "one")},
        {"seen": None},  # it could not be asked: the run says why
        {"feedback": 1},
        {"outdated": True},
        {"learnt_from": None},
        {"learnt_from": SourceState("here", "")},
    ],
)
def test_a_slot_is_due_when_anything_may_be_new(changes: dict[str, Any]) -> None:
    looked = {"seen": SourceState("here", "one"), "seen_at": SLOT + MINUTE}

    assert asks(**{**looked, **changes})[::2] == ("schedule", False)


def test_what_is_due_without_the_source_does_not_wait_for_a_look() -> None:
    for changes in ({"feedback": 1}, {"outdated": True}, {"learnt_from": None}):
        assert asks(**changes) == ("schedule", False, False)


def test_new_rows_are_due_once_there_are_as_many_as_the_policy_asks_for() -> None:
    policy = {"new_rows": 50}

    def seen(rows: int | None, place: str = "here") -> Observed:
        return observed(learnt_from=KNOWN, seen=SourceState(place, "two", rows))

    assert due(policy, seen(149)) is due(policy, seen(20)) is due(policy, seen(None)) is None
    assert due(policy, seen(150)) == Due(
        "new_rows",
        "50 new rows in the data source since the last snapshot; the policy asks for 50",
    )
    assert due(policy, seen(60, place="elsewhere")) == Due(
        "new_rows", "60 rows in a data source that no snapshot was made of"
    )
    assert due({"feedback": 9}, seen(999)) is None


def test_a_source_whose_new_rows_are_waited_for_is_looked_at_again_and_again() -> None:
    policy = {"new_rows": 50}

    def wants(fingerprint: str | None, since: timedelta | None, **changes: Any) -> bool:
        seen = None if fingerprint is None else SourceState("here", fingerprint, 1)
        at = None if since is None else NOON - since
        return wants_look(policy, observed(seen=seen, seen_at=at, **changes), every=MINUTE)

    assert wants(None, None)
    assert wants("one", MINUTE)
    assert wants(None, MINUTE)
    assert not wants("one", MINUTE / 2)
    # It has to be read as a whole each time.
    assert not wants("", 59 * MINUTE)
    assert wants("", 60 * MINUTE)
    assert not wants("one", MINUTE, last_ended_at=NOON - 30 * MINUTE)
