"""How the cells of a column are to be read: what the file's own conventions are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

DECIMALS = (".", ",")
# A thin or a no-break space is read as a space, a typographic apostrophe as a plain one.
THOUSANDS = ("", ",", ".", " ", "'")


@dataclass(frozen=True, slots=True)
class Reading:
    """The conventions of one column.

    decimal, thousands: the signs within numbers. unit: a currency or "%" that stands beside
    them. format: of dates, as strptime has it; "" for ISO 8601. missing: words for a missing
    value beside the usual ones.
    """

    decimal: str = "."
    thousands: str = ""
    unit: str = ""
    format: str = ""
    missing: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """What `to_json` wrote. Raises ValueError when it is not that."""
        known = {field.name for field in fields(cls)}
        if not known.issuperset(stored):
            raise ValueError(f"not a reading: {sorted(set(stored) - known)}")
        missing = tuple(str(word) for word in stored.get("missing", ()))
        texts = {name: str(value) for name, value in stored.items() if name != "missing"}
        return cls(missing=missing, **texts)

    def to_json(self) -> dict[str, Any]:
        """What differs from the usual; an empty object when nothing does."""
        usual = type(self)()
        told = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: list(value) if name == "missing" else value
            for name, value in told.items()
            if value != getattr(usual, name)
        }


USUAL = Reading()
