"""When a model is due for retraining, decided from what was observed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from croniter import croniter
from croniter.croniter import CroniterError

Trigger = Literal["schedule", "feedback", "new_rows"]

DEFAULT_COOLDOWN = "1h"
# A slot of the schedule waits so long for a look at the source, then does without.
LOOK_PATIENCE = timedelta(minutes=2)
# A source that does not tell its versions apart has to be read as a whole at each look.
BETWEEN_READINGS = timedelta(hours=1)
_DURATION = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class SourceState:
    """A data source at one time, in digests: where it is, and which version of it is there.

    fingerprint: "" when nothing tells versions apart. rows: None when nobody counted them.
    """

    place: str
    fingerprint: str
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """What is known of one model, with every time in UTC.

    feedback: accepted since the last snapshot. considered_at: up to when cron slots were
    acted upon: the last run's request, or when the model was declared. last_ended_at: when
    the last run that a trigger asked for ended; None before the first. learnt_from: the source
    at the last snapshot, None when nobody noted it. outdated: no version that is as the model
    is declared now came of that snapshot. seen: the source at the last look, None when it could
    not be asked. seen_at: when that was; None before the first. waiting_since: when it was
    first seen that a slot waits for a look; None when none does.
    """

    now: datetime
    feedback: int
    considered_at: datetime
    last_ended_at: datetime | None = None
    learnt_from: SourceState | None = None
    outdated: bool = False
    seen: SourceState | None = None
    seen_at: datetime | None = None
    waiting_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """Which trigger asks for a run, and a sentence for people."""

    trigger: Trigger
    reason: str


def parse_duration(text: object) -> timedelta:
    """The time that "30s", "15m", "6h" or "1d" says. Raises ValueError for anything else."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is no duration; write 30s, 15m, 6h or 1d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def check_schedule(schedule: str) -> None:
    """Raise ValueError unless `schedule` is a cron line of five fields that comes round."""
    try:
        if len(schedule.split()) != 5:
            raise ValueError(f"{schedule!r} is no cron line of five fields, as 0 3 * * *")
        croniter(schedule).get_next(datetime)
    except CroniterError as error:
        raise ValueError(f"{schedule!r} is no cron line: {error}") from error


def due(policy: Mapping[str, Any], observed: Observed) -> Due | None:
    """The trigger that asks for a run now, if any.

    policy: `[models.NAME.retrain]`. Nothing is due until the cool-down since the last
    triggered run is over. Slots of the schedule that passed meanwhile, however many, ask for
    one run; for none when neither the source nor the feedback has anything new. Raises
    ValueError for a malformed duration or schedule.
    """
    if _cooling_down(policy, observed):
        return None
    wanted = policy.get("feedback")
    if wanted and observed.feedback >= wanted:
        return Due(
            "feedback",
            f"{observed.feedback} accepted feedback since the last snapshot; "
            f"the policy asks for {wanted}",
        )
    return _due_by_rows(policy, observed) or _due_by_schedule(policy, observed)


def passes_over(policy: Mapping[str, Any], observed: Observed) -> bool:
    """Whether a slot of the schedule came round with nothing new to learn from.

    Raises ValueError for a malformed duration or schedule.
    """
    if _cooling_down(policy, observed) or not _source_decides(observed):
        return False
    slot = _slot(policy, observed)
    return slot is not None and _looked_since(slot, observed) and _is_unchanged(observed)


def wants_look(policy: Mapping[str, Any], observed: Observed, *, every: timedelta) -> bool:
    """Whether what is due depends on what the source has now.

    every: how often it is looked at where new rows are waited for. Raises ValueError for a
    malformed duration or schedule.
    """
    if _cooling_down(policy, observed):
        return False
    if policy.get("new_rows"):
        tells = observed.seen is None or observed.seen.fingerprint
        pause = every if tells else max(every, BETWEEN_READINGS)
        if observed.seen_at is None or observed.now >= observed.seen_at + pause:
            return True
    return waits_for_look(policy, observed)


def waits_for_look(policy: Mapping[str, Any], observed: Observed) -> bool:
    """Whether a slot of the schedule came round, and the source has to say what for.

    Raises ValueError for a malformed duration or schedule.
    """
    if _cooling_down(policy, observed) or not _source_decides(observed):
        return False
    slot = _slot(policy, observed)
    return slot is not None and not _looked_since(slot, observed)


def _cooling_down(policy: Mapping[str, Any], observed: Observed) -> bool:
    cooldown = parse_duration(policy.get("cooldown", DEFAULT_COOLDOWN))
    ended = observed.last_ended_at
    return ended is not None and observed.now < ended + cooldown


def _due_by_rows(policy: Mapping[str, Any], observed: Observed) -> Due | None:
    wanted, seen, before = policy.get("new_rows"), observed.seen, observed.learnt_from
    if not wanted or seen is None or seen.rows is None:
        return None
    known = before.rows if before and before.place == seen.place else None
    new = seen.rows - (known or 0)
    if new < wanted:
        return None
    if known is None:
        return Due("new_rows", f"{new} rows in a data source that no snapshot was made of")
    return Due(
        "new_rows",
        f"{new} new rows in the data source since the last snapshot; the policy asks for {wanted}",
    )


def _due_by_schedule(policy: Mapping[str, Any], observed: Observed) -> Due | None:
    slot = _slot(policy, observed)
    if slot is None:
        return None
    if _source_decides(observed):
        looked, since = _looked_since(slot, observed), observed.waiting_since
        patient = since is None or observed.now < since + LOOK_PATIENCE
        if (looked and _is_unchanged(observed)) or (not looked and patient):
            return None
    schedule = policy["schedule"]
    latest: datetime = croniter(schedule, observed.now + timedelta(seconds=1)).get_prev(datetime)
    return Due("schedule", f"the schedule {schedule} came round at {latest:%Y-%m-%d %H:%M} UTC")


def _slot(policy: Mapping[str, Any], observed: Observed) -> datetime | None:
    """The first slot of the schedule that nobody acted upon, once it has passed."""
    schedule = policy.get("schedule")
    if not schedule:
        return None
    check_schedule(schedule)
    slot: datetime = croniter(schedule, observed.considered_at).get_next(datetime)
    return slot if slot <= observed.now else None


def _source_decides(observed: Observed) -> bool:
    """Whether the source alone may have something new, and would tell."""
    known = observed.learnt_from is not None and observed.learnt_from.fingerprint
    return bool(known) and not observed.feedback and not observed.outdated


def _looked_since(slot: datetime, observed: Observed) -> bool:
    return observed.seen_at is not None and observed.seen_at >= slot


def _is_unchanged(observed: Observed) -> bool:
    seen, before = observed.seen, observed.learnt_from
    if seen is None or before is None:
        return False
    return (seen.place, seen.fingerprint) == (before.place, before.fingerprint)
