"""What a quota is made of; loaded with the settings, so it imports nothing of Django's."""

from __future__ import annotations

from typing import NamedTuple

MIB = 2**20


class Quota(NamedTuple):
    """Amounts of one day: the most that is allowed, where 0 sets no limit, or what was used."""

    requests: int = 0
    rows: int = 0
    feedback: int = 0
    stored_bytes: int = 0

    def times(self, factor: int) -> Quota:
        """The same quota for `factor` clients together."""
        return Quota(*(amount * factor for amount in self))

    def plus(self, other: Quota) -> Quota:
        return Quota(
            self.requests + other.requests,
            self.rows + other.rows,
            self.feedback + other.feedback,
            self.stored_bytes + other.stored_bytes,
        )

    def minus(self, other: Quota) -> Quota:
        return Quota(*(mine - its for mine, its in zip(self, other, strict=True)))


# What each amount is called where people read it.
WORDS = Quota("requests", "predicted rows", "items of feedback", "stored bytes")  # type: ignore[arg-type]
