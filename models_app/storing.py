"""Write to the database, or say why that cannot be done now.

    storage_busy         others hold it; it may be free in a moment
    storage_full         no room is left on its disk
    storage_unavailable  it cannot be reached, read or written

Whoever waits for a locked database holds a thread of the web server. So only some may wait at
a time, and once those are stuck the others are turned away at once: somebody must be left to
answer /health.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from models_app.refusals import Unavailable

BUSY, FULL, AWAY = "storage_busy", "storage_full", "storage_unavailable"
SPARED = "spared"
DETAILS = {
    BUSY: "The database is busy; nothing was stored. Try again.",
    SPARED: "The disk is almost full; nothing of clients without an API key is stored.",
    FULL: "No room is left on the database's disk; nothing was stored.",
    AWAY: "The database cannot be reached or written; nothing was stored. Try again.",
}
# As many threads of a web process as may wait for the database (it has 8, see gunicorn.conf.py).
MOST_WAITING = 6
# Seconds without a write getting through, while some wait, after which they are taken for
# stuck. Longer than a slow disk takes now and then, so that nobody is turned away for that.
PATIENCE = 2.0
# Seconds that a write waits for its turn at most, and between looks at whether others are stuck.
LONGEST_WAIT = 5.0
LOOK_EVERY = 0.5
# Milliseconds that a write may wait which could be left out.
AT_MOST = 100
# Bytes without which SQLite soon cannot write, though a single row may still find room.
LEAST_ROOM = 2 * 2**20

_SQLITE_CODES = {
    sqlite3.SQLITE_BUSY: BUSY,
    sqlite3.SQLITE_LOCKED: BUSY,
    sqlite3.SQLITE_INTERRUPT: BUSY,
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_IOERR: AWAY,
    sqlite3.SQLITE_CANTOPEN: AWAY,
    sqlite3.SQLITE_READONLY: AWAY,
}
# PostgreSQL's: a lock or a statement that took too long, a deadlock, too many connections.
_SQL_STATES = {
    "53100": FULL,
    "53300": BUSY,
    "55P03": BUSY,
    "57014": BUSY,
    "40001": BUSY,
    "40P01": BUSY,
}


class Turns:
    """At most `most` writes at a time; once those are stuck, no more are let in to wait."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._free = threading.Semaphore(most)
        self._since: dict[int, float] = {}
        self._got_through = 0.0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold a turn within the block. Raises Unavailable."""
        if not self._free.acquire(blocking=False):
            self._wait()
        me = threading.get_ident()
        self._since[me] = time.monotonic()
        try:
            yield
            self._got_through = time.monotonic()
        finally:
            self._since.pop(me, None)
            self._free.release()

    def _wait(self) -> None:
        give_up = time.monotonic() + LONGEST_WAIT
        while not self._stuck() and time.monotonic() < give_up:
            if self._free.acquire(timeout=LOOK_EVERY):
                return
        raise Unavailable(DETAILS[BUSY], code=BUSY)

    def _stuck(self) -> bool:
        """Whether those inside have waited long, and none of them got through meanwhile."""
        now = time.monotonic()
        oldest = min(list(self._since.values()), default=now)
        return now - max(oldest, self._got_through) > PATIENCE


_turns = Turns()
_troubles: dict[str, str] = {}


@contextmanager
def writing() -> Iterator[None]:
    """Write within the block, outside of any transaction.

    Raises Unavailable when the database cannot take it; then nothing of it is stored.
    """
    with _turns.take():
        try:
            yield
        except (OperationalError, InterfaceError) as error:
            refusal = refusal_of(error)
            if refusal is None:
                raise
            _troubles["write"] = refusal.code
            raise refusal from error
    _troubles.pop("write", None)


def in_passing(write: Callable[[], object]) -> None:
    """Write what may as well be left out: nobody waits for a busy database because of it."""
    with suppress(OperationalError, InterfaceError), impatient():
        write()


@contextmanager
def impatient() -> Iterator[None]:
    """Wait no longer than AT_MOST for a lock of the database within the block."""
    sqlite = connection.vendor == "sqlite"
    name = "PRAGMA busy_timeout" if sqlite else "lock_timeout"
    with connection.cursor() as cursor:
        cursor.execute(name if sqlite else f"SHOW {name}")
        usual = cursor.fetchone()[0]
        cursor.execute(f"{name} = {AT_MOST}" if sqlite else f"SET {name} = {AT_MOST}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"{name} = {int(usual)}" if sqlite else f"SET {name} = '{usual}'")


def trouble() -> str:
    """Why this process could not write when it last tried, as a code; "" when it could."""
    return next(iter(_troubles.values()), "")


def look_for_room() -> None:
    """Take note of whether SQLite's disk is all but full, which one row may not notice."""
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite" and _no_room(name):
        _troubles["room"] = FULL
    else:
        _troubles.pop("room", None)


def refuse_without_spare_room() -> None:
    """Raise Unavailable when less is free than EVERLEARN_MIN_FREE_DISK.

    For clients without a key: what is left of the disk is for those with one, and for the
    operator to free some.
    """
    least = settings.EVERLEARN_MIN_FREE_DISK
    if not least:
        return
    disk = os.statvfs(settings.EVERLEARN_HOME)
    if disk.f_bavail * disk.f_frsize < least * 2**20:
        raise Unavailable(DETAILS[SPARED], code=FULL)


def refusal_of(error: Exception) -> Unavailable | None:
    """What an error of the database means to whoever asked; None for a mistake of ours."""
    code = _code(error.__cause__ or error)
    return Unavailable(DETAILS[code], code=code) if code else None


def _code(cause: BaseException) -> str:
    if not isinstance(cause, sqlite3.Error):
        # PostgreSQL gives no state at all when the connection was lost or never made.
        return _SQL_STATES.get(getattr(cause, "sqlstate", None) or "", AWAY)
    # Errors that SQLite itself did not raise have no code; its extended ones end in the primary.
    number = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    code = _SQLITE_CODES.get(number, "")
    if code == AWAY and _no_room(connection.settings_dict["NAME"]):
        return FULL
    return code


def _no_room(database: str | Path) -> bool:
    try:
        return shutil.disk_usage(Path(database).parent).free < LEAST_ROOM
    except OSError:
        return False
