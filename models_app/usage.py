"""Count what each client uses a day, in memory and in one table that all processes share.

A request adds to counts in memory; every two seconds the thread that follows the champions adds
them to the table and reads back what all processes counted. So a client may exceed its quota by
what it can send in about two seconds to each process, and a killed process loses as much. The
first request of a client in a process and day reads its row, so that a restart forgets nothing.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from django.conf import settings
from django.db import Error as DatabaseFailed
from django.db import connection, models, transaction
from django.utils import timezone

from models_app import storing
from models_app.quota import MIB, Quota

logger = logging.getLogger(__name__)

NOTHING = Quota()
# So that an attacker with many networks does not fill the memory: some 5 MiB.
MOST_TRACKED = 10_000
READ_AT_ONCE = 500
# Requests of a network that predicted and stored nothing are not worth a row until there are so
# many: or each address of a scan would leave one behind.
LEAST_SAVED = 100
ACCOUNT, NETWORK, ANONYMOUS = "account:", "network:", "anonymous"


class DailyUsage(models.Model):
    """What one client used on one day, in UTC."""

    subject = models.CharField(
        max_length=64, help_text="account:ID, network:ADDRESS, or anonymous for all networks."
    )
    day = models.DateField(help_text="In UTC.")
    requests = models.BigIntegerField(default=0, db_default=0)
    rows = models.BigIntegerField(default=0, db_default=0)
    feedback = models.BigIntegerField(default=0, db_default=0)
    stored_bytes = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        ordering = ("-day", "-stored_bytes", "-pk")
        verbose_name_plural = "daily usage"
        constraints = (
            models.UniqueConstraint(fields=("day", "subject"), name="one_row_a_day_and_subject"),
        )

    def __str__(self) -> str:
        return f"{self.subject} on {self.day}"


class QuotaOverride(models.Model):
    """The quota of one account where it differs from the installation's; null: it does not."""

    account = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="quota_override"
    )
    requests = models.PositiveBigIntegerField(null=True, blank=True)
    rows = models.PositiveBigIntegerField(null=True, blank=True)
    feedback = models.PositiveBigIntegerField(null=True, blank=True)
    mebibytes = models.PositiveBigIntegerField(null=True, blank=True)

    def __str__(self) -> str:
        return f"quota of {self.account}"

    @property
    def quota(self) -> Quota:
        """The quota of the account, with the installation's where nothing else is set."""
        stored = None if self.mebibytes is None else self.mebibytes * MIB
        own = (self.requests, self.rows, self.feedback, stored)
        usual = settings.EVERLEARN_KEY_QUOTA
        return Quota(*(its if mine is None else mine for mine, its in zip(own, usual, strict=True)))


def today() -> date:
    """The day that counts, in UTC."""
    return timezone.now().date()


Key = tuple[date, str]


class Shortage(NamedTuple):
    """Which client has too little left, what it may use a day and what it used."""

    subject: str
    limit: Quota
    used: Quota


@dataclass(slots=True)
class _Tally:
    """One client's use: all of it, what of it is on its way to the table, and what is not yet."""

    used: Quota = NOTHING
    sent: Quota = NOTHING
    unsaved: Quota = NOTHING
    loaded: bool = True

    def add(self, amounts: Quota) -> None:
        self.used, self.unsaved = self.used.plus(amounts), self.unsaved.plus(amounts)

    def is_worth_saving(self, subject: str) -> bool:
        requests, *rest = self.unsaved
        return any(rest) or abs(requests) >= (1 if subject.startswith(ACCOUNT) else LEAST_SAVED)


@dataclass
class Tracker:
    """The counts of this process. Each method may be called from any thread."""

    most: int = MOST_TRACKED
    _tallies: OrderedDict[Key, _Tally] = field(default_factory=OrderedDict)
    _overrides: Mapping[int, Quota] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _syncing: threading.Lock = field(default_factory=threading.Lock)

    def add(self, limits: Sequence[tuple[str, Quota]], amounts: Quota) -> Shortage | None:
        """Count `amounts` for every subject, or for none; then the one that has too little left.

        limits: subjects with the most that each may use a day.
        """
        day = today()
        for subject, _ in limits:
            if (day, subject) not in self._tallies:
                self._load(day, subject)
        with self._lock:
            tallies = [self._touched((day, subject)) for subject, _ in limits]
            for tally, (subject, limit) in zip(tallies, limits, strict=True):
                if _exceeds(tally.used, amounts, limit):
                    return Shortage(subject, limit, tally.used)
            for tally in tallies:
                tally.add(amounts)
        return None

    def give_back(self, day: date, subjects: Sequence[str], amounts: Quota) -> None:
        """Undo what `add` counted on that day, for a request of which nothing was stored."""
        with self._lock:
            for subject in subjects:
                self._touched((day, subject)).add(NOTHING.minus(amounts))

    def used(self, subject: str) -> Quota:
        """What a client used today, as far as this process knows."""
        key = (today(), subject)
        if key not in self._tallies:
            self._load(*key)
        with self._lock:
            return self._touched(key).used

    def quota_of(self, account: int) -> Quota:
        """What an account may use a day, as of the last look at the overrides."""
        return self._overrides.get(account) or settings.EVERLEARN_KEY_QUOTA

    def forget(self) -> None:
        """Drop all counts, saved or not."""
        with self._lock:
            self._tallies.clear()
            self._overrides = {}

    def sync(self) -> None:
        """Add the counts to the table, and read back what all processes counted.

        Counts that could not be written are kept for the next time.
        """
        if not self._syncing.acquire(timeout=1):
            return
        try:
            self._sync()
        finally:
            self._syncing.release()

    def _sync(self) -> None:
        with self._lock:
            # By subject, so that two processes that lock the same rows do so in the same order.
            sent = sorted(key for key, tally in self._tallies.items() if _is_due(key, tally))
            for key in sent:
                tally = self._tallies[key]
                tally.sent, tally.unsaved = tally.unsaved, NOTHING
            unread = [key for key, tally in self._tallies.items() if not tally.loaded]
            rows = [(*key, *self._tallies[key].sent) for key in sent]
        try:
            with storing.impatient():
                if rows:
                    _write(rows)
                    self._settle(sent)
                self._read([*sent, *unread])
                self._overrides = _read_overrides()
        except DatabaseFailed as error:
            logger.warning("The use of quotas could not be stored, and is kept: %s", error)
            self._take_back(sent)

    def _settle(self, keys: Sequence[Key]) -> None:
        with self._lock:
            for key in keys:
                if tally := self._tallies.get(key):
                    tally.sent = NOTHING

    def _take_back(self, keys: Sequence[Key]) -> None:
        with self._lock:
            for key in keys:
                if tally := self._tallies.get(key):
                    tally.unsaved, tally.sent = tally.unsaved.plus(tally.sent), NOTHING

    def _read(self, keys: Sequence[Key]) -> None:
        found = dict(_totals(keys))
        with self._lock:
            for key in keys:
                if tally := self._tallies.get(key):
                    stored = found.get(key, NOTHING)
                    tally.used, tally.loaded = stored.plus(tally.unsaved), True

    def _touched(self, key: Key) -> _Tally:
        tally = self._tallies.setdefault(key, _Tally(loaded=False))
        self._tallies.move_to_end(key)
        return tally

    def _load(self, day: date, subject: str) -> None:
        """Read one client's row, and its quota if it has one of its own."""
        if len(self._tallies) >= self.most:
            self._make_room()
        try:
            tally = _Tally(used=dict(_totals([(day, subject)])).get((day, subject), NOTHING))
            if subject.startswith(ACCOUNT):
                account = int(subject.removeprefix(ACCOUNT))
                self._overrides = {**self._overrides, **_read_overrides(account)}
        except DatabaseFailed:
            # Whoever asks learns that from what it does next; the next `sync` reads the row.
            tally = _Tally(loaded=False)
        with self._lock:
            self._tallies.setdefault((day, subject), tally)

    def _make_room(self) -> None:
        """Drop the tenth that was used longest ago, when it is saved; else save it first."""
        if not self._drop(saved_only=True):
            self.sync()
            # Where even that failed the database is away, and nothing is predicted or stored.
            self._drop(saved_only=True) or self._drop(saved_only=False)

    def _drop(self, *, saved_only: bool) -> int:
        with self._lock:
            oldest = list(self._tallies)[: max(self.most // 10, 1)]
            gone = [key for key in oldest if not (saved_only and _is_due(key, self._tallies[key]))]
            for key in gone:
                del self._tallies[key]
        return len(gone)


def _exceeds(used: Quota, amounts: Quota, limit: Quota) -> bool:
    # On the way to every prediction, and so without a generator.
    for had, amount, most in zip(used, amounts, limit, strict=True):
        if amount and most and had + amount > most:
            return True
    return False


def _is_due(key: Key, tally: _Tally) -> bool:
    return tally.is_worth_saving(key[1]) or any(tally.sent)


def _write(rows: Sequence[tuple[date | str | int, ...]]) -> None:
    table = DailyUsage._meta.db_table  # noqa: SLF001 - Django's API
    names = ", ".join(Quota._fields)
    added = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in Quota._fields)
    statement = (
        f"INSERT INTO {table} (day, subject, {names}) VALUES (%s, %s, %s, %s, %s, %s) "  # noqa: S608 - our own names
        f"ON CONFLICT (day, subject) DO UPDATE SET {added}"
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(statement, rows)


def _totals(keys: Sequence[Key]) -> Iterator[tuple[Key, Quota]]:
    for start in range(0, len(keys), READ_AT_ONCE):
        part = keys[start : start + READ_AT_ONCE]
        rows = DailyUsage.objects.filter(
            day__in={day for day, _ in part}, subject__in=[subject for _, subject in part]
        )
        for day, subject, *amounts in rows.values_list("day", "subject", *Quota._fields):
            yield (day, subject), Quota(*amounts)


def _read_overrides(account: int | None = None) -> dict[int, Quota]:
    rows = QuotaOverride.objects.filter(**({} if account is None else {"account_id": account}))
    return {row.account_id: row.quota for row in rows}


tracker = Tracker()
