"""When a model is due for retraining, decided from what was observed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from croniter import croniter
from croniter.croniter import CroniterError

Trigger = Literal["schedule", "feedback"]

DEFAULT_COOLDOWN = "1h"
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
    the last run that a trigger asked for ended; None before the first.
    """

    now: datetime
    feedback: int
    considered_at: datetime
    last_ended_at: datetime | None = None


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
    one run. Raises ValueError for a malformed duration or schedule.
    """
    cooldown = parse_duration(policy.get("cooldown", DEFAULT_COOLDOWN))
    ended = observed.last_ended_at
    if ended is not None and observed.now < ended + cooldown:
        return None
    wanted = policy.get("feedback")
    if wanted and observed.feedback >= wanted:
        return Due(
            "feedback",
            f"{observed.feedback} accepted feedback since the last snapshot; "
            f"the policy asks for {wanted}",
        )
    schedule = policy.get("schedule")
    return _due_by_schedule(schedule, observed) if schedule else None


def _due_by_schedule(schedule: str, observed: Observed) -> Due | None:
    check_schedule(schedule)
    slot: datetime = croniter(schedule, observed.considered_at).get_next(datetime)
    if slot > observed.now:
        return None
    latest: datetime = croniter(schedule, observed.now + timedelta(seconds=1)).get_prev(datetime)
    return Due("schedule", f"the schedule {schedule} came round at {latest:%Y-%m-%d %H:%M} UTC")
