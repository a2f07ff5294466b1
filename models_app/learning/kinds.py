"""The five kinds of value a feature may have: how each is checked and encoded."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

Kind = Literal["number", "category", "text", "boolean", "datetime"]
Columns = dict[str, NDArray[Any]]
Fault = tuple[str, str]

KINDS: tuple[str, ...] = get_args(Kind)
# Of a category or a text, in characters.
LONGEST_TEXT = 10_000
# The largest number that a feature or an answer may be, below zero as well. What serves computes
# in float32, which ends at 3.4e38; scaling and weighing a value must not lead beyond that.
LARGEST = 1e30
DATE_PARTS = ("year", "month", "day", "weekday", "hour", "days")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_NO_DATE = (float("nan"),) * len(DATE_PARTS)
_TOO_LONG: Fault = ("value_too_long", f"At most {LONGEST_TEXT} characters are allowed.")
# A category is a name, which no computation makes larger; as an integer it has 38 digits at most.
_LARGEST_CATEGORY = 10**38
_A_DATE = "An ISO 8601 date or time, as 2024-05-31T12:00:00Z,"
# As scikit-learn's character n-grams do before they look; ONNX does not, so both get it done.
_RUN_OF_WHITE_SPACE = re.compile(r"\s\s+")


def column_names(name: str, kind: Kind) -> tuple[str, ...]:
    """The columns that a feature is encoded to: one, or one for each part of a date."""
    if kind == "datetime":
        return tuple(f"{name}__{part}" for part in DATE_PARTS)
    return (name,)


def encode(name: str, kind: Kind, values: Sequence[Any]) -> Columns:
    """The columns of one feature from n valid JSON values; `Schema.columns` says which."""
    if kind == "datetime":
        parts = np.array([_date_parts(value) for value in values], dtype=np.float64)
        parts = parts.reshape(len(values), len(DATE_PARTS)).T
        return dict(zip(column_names(name, kind), np.ascontiguousarray(parts), strict=True))
    if kind in ("number", "boolean"):
        return {name: np.array(values, dtype=np.float64)}
    texts = np.empty(len(values), dtype=object)
    if kind == "text":
        texts[:] = ["" if value is None else collapse_white_space(value) for value in values]
    else:
        texts[:] = ["" if value is None else category_text(value) for value in values]
    return {name: texts}


def category_text(value: str | int | bool) -> str:
    """A category or class as text: "true" and "false" for booleans, else its digits or itself."""
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)


def collapse_white_space(text: str) -> str:
    """The text with each run of two or more white space characters made one space."""
    return _RUN_OF_WHITE_SPACE.sub(" ", text)


def parse_moment(text: str) -> datetime:
    """An ISO 8601 date or time in UTC; one without a zone is UTC. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} is outside the years 1 to 9999 in UTC") from error


def _date_parts(value: str | None) -> tuple[float, ...]:
    if value is None:
        return _NO_DATE
    moment = parse_moment(value)
    whole = (moment.year, moment.month, moment.day, moment.weekday(), moment.hour)
    return (*map(float, whole), (moment - _EPOCH) / _DAY)


def _number_fault(value: object) -> Fault | None:
    if type(value) is float or type(value) is int:
        # NaN compares as false.
        if -LARGEST <= value <= LARGEST:
            return None
        return "not_finite", "A finite number between -1e30 and 1e30 is expected."
    return _wrong_type("A number", value)


def _category_fault(value: object) -> Fault | None:
    if isinstance(value, str):
        return _TOO_LONG if len(value) > LONGEST_TEXT else None
    if isinstance(value, bool):
        return None
    if isinstance(value, int) and abs(value) < _LARGEST_CATEGORY:
        return None
    return _wrong_type("A string, an integer or a boolean", value)


def _text_fault(value: object) -> Fault | None:
    if isinstance(value, str):
        return _TOO_LONG if len(value) > LONGEST_TEXT else None
    return _wrong_type("A string", value)


def _boolean_fault(value: object) -> Fault | None:
    return None if isinstance(value, bool) else _wrong_type("true or false", value)


def _datetime_fault(value: object) -> Fault | None:
    try:
        parse_moment(cast(str, value))
    except (TypeError, ValueError):
        if isinstance(value, str):
            return "invalid_type", f"{_A_DATE} is expected, not {value[:40]!r}."
        return _wrong_type(_A_DATE, value)
    return None


def _wrong_type(expected: str, value: object) -> Fault:
    given = {dict: "an object", list: "an array", bool: "a boolean", str: "a string"}
    kind = given.get(type(value), "a number")
    return "invalid_type", f"{expected} is expected, not {kind}."


FAULT_OF: dict[Kind, Callable[[Any], Fault | None]] = {
    "number": _number_fault,
    "category": _category_fault,
    "text": _text_fault,
    "boolean": _boolean_fault,
    "datetime": _datetime_fault,
}
