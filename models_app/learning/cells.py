"""Read a cell, which is a text, as a value of a kind: the same everywhere that texts come from.

Base data, files of rows to predict and pinned rows all come through here, so that a file that
trained can be predicted as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any

from models_app.learning.kinds import FAULT_OF, Fault, Kind, parse_moment
from models_app.learning.reading import Reading

# What spreadsheets, databases and statistics programs write for a missing value, in lower case. In
# a category or a text these are words like any other: only an empty cell is missing there.
MISSING_WORDS = frozenset(
    (
        "", "na", "n/a", "n.a.", "#n/a", "#n/a n/a", "#na", "nan", "-nan", "null", "none", "<na>",
        "nil", ".", "-", "--", "---", "–", "—", "?", "#div/0!", "#value!", "#ref!", "#num!",
        "#name?", "#null!",
    )
)  # fmt: skip
# No JSON number says it, so no client could ask for what was learnt from it.
INFINITY = frozenset(("inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"))

LONGEST_DATE = 64
NOON, AN_HOUR = 12, 60

_TRUE = frozenset(("true", "t", "yes", "y", "on", "1"))
_FALSE = frozenset(("false", "f", "no", "n", "off", "0"))
# A space, however wide, a typographic apostrophe and a real minus sign, as one types them.
_PLAIN_SIGNS = str.maketrans(
    {"\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u2019": "'", "\u2212": "-"}
)
PLAIN_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_TIME = re.compile(r"[ T](\d{1,2}):(\d{2})(?::(\d{2})(\.\d{1,6})?)?(?: ?([AaPp][Mm]))?$")
_TIME_DIRECTIVES = ("%H", "%I", "%c", "%X", "%f", "%s", "%T")


def is_missing(text: str, kind: Kind, reading: Reading) -> bool:
    """Whether a cell says that there is no value."""
    bare = text.strip()
    if not bare or bare in reading.missing:
        return True
    if kind in ("category", "text"):
        return False
    lowered = bare.casefold()
    return lowered in MISSING_WORDS or (kind == "number" and lowered in INFINITY)


def reader_of(kind: Kind, reading: Reading) -> Callable[[str], Any]:
    """What reads the cells of a column: the JSON value of a text, or None where it is missing.

    The function raises ValueError for a cell that is no value of the kind.
    """
    return partial(_read, _VALUE_OF[kind], kind, reading)


def _read(value_of: Callable[[str, Reading], Any], kind: Kind, reading: Reading, text: str) -> Any:
    return None if is_missing(text, kind, reading) else value_of(text, reading)


def number(text: str, reading: Reading) -> float:
    """A number as its column writes it. Raises ValueError."""
    if reading.decimal == "." and PLAIN_NUMBER.fullmatch(text):
        value = float(text)  # as most are written; it takes a third of the time
    else:
        value = _number_in_style(text, reading)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:80]!r} is beyond all numbers")
    return value


def _number_in_style(text: str, reading: Reading) -> float:
    bare = bare_number(text, reading.unit)
    if not number_pattern(reading.decimal, reading.thousands).fullmatch(bare):
        raise ValueError(f"{text[:80]!r} is no number")
    if reading.thousands:
        bare = bare.replace(reading.thousands, "")
    return float(bare.replace(reading.decimal, "."))


def bare_number(text: str, unit: str = "") -> str:
    """The text without its unit, and with the sign in front: accountants write (5) or 5- for -5."""
    bare = text.translate(_PLAIN_SIGNS).strip()
    if bare.startswith("(") and bare.endswith(")"):
        bare = f"-{bare[1:-1].strip()}"
    elif bare.endswith("-"):
        bare = f"-{bare[:-1].strip()}"
    if unit:
        sign = bare[:1] if bare[:1] in ("-", "+") else ""
        rest = bare[len(sign) :].strip()
        rest = rest.removeprefix(unit).removesuffix(unit).strip()
        bare = rest if rest[:1] in ("-", "+") and not sign else sign + rest
    return bare


@lru_cache(maxsize=64)
def number_pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    """What a number looks like: groups of three digits, none of which begins the number with 0."""
    point = re.escape(decimal)
    whole = r"\d+"
    if thousands:
        whole = rf"(?:[1-9]\d{{0,2}}(?:{re.escape(thousands)}\d{{3}})+|\d+)"
    return re.compile(rf"[+-]?(?:{whole}(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?")


def is_plain_number(text: str) -> bool:
    """Whether it is a number as programs write it."""
    return PLAIN_NUMBER.fullmatch(text.strip()) is not None


def moment(text: str, reading: Reading) -> str:
    """A date or time as ISO 8601 has it. Raises ValueError."""
    bare = text.strip()
    if reading.format:
        found = moment_in(bare, reading.format)
        if found is not None:
            return found
    # As BigQuery and others write it.
    bare = f"{bare[:-4]}Z" if bare.endswith(" UTC") else bare
    parse_moment(bare)
    return bare


def date_fault(value: object, reading: Reading) -> Fault | None:
    """What is wrong with a JSON value of a feature whose dates have a format of their own."""
    if isinstance(value, str) and moment_in(value.strip(), reading.format) is not None:
        return None
    fault = FAULT_OF["datetime"](value)
    if fault is None:
        return None
    example = datetime(2024, 5, 31, tzinfo=UTC).strftime(reading.format)
    return fault[0], f"{fault[1].rstrip('.')}; a date as {example} is taken too."


def moment_in(text: str, form: str) -> str | None:
    """A date in a format of strptime, with a time after it or none, as ISO 8601; else None."""
    if len(text) > LONGEST_DATE:
        return None
    if any(directive in form for directive in _TIME_DIRECTIVES):
        return _told_in(text, form)
    found = _TIME.search(text)
    day = _told_in(text[: found.start()] if found else text, form)
    if day is None or found is None:
        return day and day[:10]
    time = _time(*found.groups(default=""))
    return time and f"{day[:10]}T{time}"


def _time(hour: str, minute: str, second: str, fraction: str, half: str) -> str | None:
    hours = int(hour)
    if half and not 1 <= hours <= NOON:
        return None
    if half:
        hours = hours % NOON + (NOON if half.casefold() == "pm" else 0)
    if hours >= 2 * NOON or int(minute) >= AN_HOUR or int(second or 0) >= AN_HOUR:
        return None
    return f"{hours:02}:{minute}:{second or '00'}{fraction}"


# A table has few days and many times.
@lru_cache(maxsize=2**16)
def _told_in(text: str, form: str) -> str | None:
    try:
        return datetime.strptime(text, form).isoformat()  # noqa: DTZ007 - without a zone it is UTC
    except ValueError:
        return None


def boolean(text: str, reading: Reading) -> bool:
    """true or false, yes or no, 1 or 0, in any case. Raises ValueError."""
    lowered = text.strip().casefold()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError(f"{text[:80]!r} is neither true nor false")


def category(text: str, reading: Reading) -> str:
    """The text without the blanks around it, which are no part of a category or a class."""
    return text.strip()


def _text(text: str, reading: Reading) -> str:
    return text


_VALUE_OF: dict[Kind, Callable[[str, Reading], Any]] = {
    "number": number,
    "category": category,
    "text": _text,
    "boolean": boolean,
    "datetime": moment,
}
