"""Values as people type them into forms: as the model's file writes them, and how to say so."""

from __future__ import annotations

import re
from datetime import datetime

from models_app.learning import cells
from models_app.learning.kinds import parse_moment
from models_app.learning.reading import Reading

LONGEST_SHOWN = 40
_PLAIN = Reading()
# Either a thousand and more, or little more than one.
_IN_DOUBT = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}")
_A_DAY = datetime(2024, 5, 31, 14, 30)  # noqa: DTZ001 - an example, without a zone


def number(text: str, reading: Reading) -> float:
    """A number as its column writes it, or with a decimal point where that leaves no doubt.

    Raises ValueError with a sentence that says what to type instead.
    """
    try:
        return cells.number(text, reading)
    except ValueError:
        bare = cells.bare_number(text, reading.unit)
        if "." in (reading.decimal, reading.thousands) or _IN_DOUBT.fullmatch(bare):
            raise ValueError(_no_number(text, reading)) from None
    try:
        return cells.number(bare, _PLAIN)
    except ValueError:
        raise ValueError(_no_number(text, reading)) from None


def as_typed(value: float, reading: Reading) -> str:
    """A number as its column writes it, without separators of thousands."""
    whole = isinstance(value, int) or value.is_integer()
    return str(int(value)) if whole else repr(value).replace(".", reading.decimal)


def help_of_number(reading: Reading) -> str:
    """How the numbers of a column are written; "" where it is as everywhere."""
    if (reading.decimal, reading.thousands, reading.unit) == (".", "", ""):
        return ""
    unit = f"In {reading.unit}, as" if reading.unit else "As"
    return f"{unit} {_example(reading)}"


def moment(text: str, reading: Reading) -> str:
    """A date or time that is typed as its column writes it or as ISO 8601 has it: as the latter.

    Raises ValueError with a sentence that says what to type instead.
    """
    try:
        found = cells.moment(text, reading)
        parse_moment(found)
    except ValueError:
        shown = text.strip()[:LONGEST_SHOWN]
        raise ValueError(f"Enter a date as {_dates(reading)}, not '{shown}'.") from None
    return found


def help_of_date(reading: Reading) -> str:
    """How the dates of a column are written."""
    return f"As {_dates(reading)}; UTC" if reading.format else "UTC"


def _dates(reading: Reading) -> str:
    if not reading.format:
        return "2024-05-31 or 2024-05-31T14:30"
    return f"{_A_DAY.strftime(reading.format)} or 2024-05-31"


def _no_number(text: str, reading: Reading) -> str:
    return f"Enter a number as {_example(reading)}, not '{text.strip()[:LONGEST_SHOWN]}'."


def _example(reading: Reading) -> str:
    whole = f"1{reading.thousands}234" if reading.thousands else "12"
    return f"{whole}{reading.decimal}5"
