"""A claimed run, and the token that every write of its attempt must show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from feedback_app.models import AWAY, RetrainingRun


class LeaseLost(Exception):
    """The run was cancelled or belongs to another attempt; nothing may be written any more."""


@dataclass(frozen=True)
class Attempt:
    """A claimed run, and the token without which none of its writes counts."""

    run: RetrainingRun
    token: int

    def write(self, **values: Any) -> None:
        """Store what was reached. Raises LeaseLost."""
        held = RetrainingRun.objects.filter(
            ~AWAY, pk=self.run.pk, attempts=self.token, status=RetrainingRun.Status.RUNNING
        )
        if not held.update(**values):
            raise LeaseLost(f"{self.run}: attempt {self.token} lost its lease")
        for name, value in values.items():
            setattr(self.run, name, value)

    def progress(self, step: str, done: int, total: int) -> None:
        """Say how far the run is. Raises LeaseLost."""
        self.write(step=step[:64], done=done, total=total)
