"""Tell from all the cells of a column what kind of values they are and how they are written.

What all cells agree on is read. What nearly all agree on is a question to the person who declares
the model, as one strange cell may be a slip or may show that the others are no numbers at all.
Cells are counted: a `Counter` of different texts, without those that are missing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from models_app.learning import cells
from models_app.learning.kinds import Kind, parse_moment
from models_app.learning.reading import Reading

Counts = Mapping[str, int]

# From this share of the cells on a kind is meant, and the others need a person's word.
NEARLY_ALL = 0.95
SAMPLED = 200
CURRENCIES = (
    "US$", "R$", "$", "€", "£", "¥", "₹", "₽", "₩", "₺", "₫", "฿", "zł", "Kč", "Ft", "kr",
    "USD", "EUR", "GBP", "CHF", "JPY", "CNY", "INR", "CAD", "AUD", "SEK", "NOK", "DKK", "PLN",
)  # fmt: skip
PERCENT = "%"
# Sixteen digits are more than a float keeps; and a number does not begin with 0.
_CODE = re.compile(r"[+-]?(?:0\d+|\d{16,})")
_STYLES = [
    (".", ""), (",", ""), (".", ","), (",", "."), (".", " "), (",", " "), (".", "'"), (",", "'"),
]  # fmt: skip
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_FORMATS = (
    "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d",
    "%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d-%m-%y", "%m-%d-%y",
    "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y",
    "%Y%m%dT%H%M%S",
)  # fmt: skip
# Of two formats that read all cells, these differ in what they read.
_RIVALS = {
    "%d/%m/%Y": "%m/%d/%Y", "%d-%m-%Y": "%m-%d-%Y", "%d/%m/%y": "%m/%d/%y", "%d-%m-%y": "%m-%d-%y",
}  # fmt: skip
_MEANINGLESS = {
    "durations": re.compile(
        r"-?\d+ days?(?:,? [+-]?\d+:\d{2}:\d{2}(?:\.\d+)?)?|P(?=[\dT])(?:\d+[YMWD])*(?:T[\d.HMS]+)?"
    ),
    "nested values": re.compile(r"\[.*\]|\{.*\}|<\w[\w.]* object at 0x[0-9a-f]+>", re.DOTALL),
}
_LIKE_A_DATE = re.compile(r"(?=.{6,32}$)(?:(?:\d{1,4}|[A-Za-z]{3,9})[-/. ].*\d.*|\d{8}T\d{6}$)")


class Question(ValueError):
    """Nearly all cells of a column agree, or all may be read in two ways: a person has to say.

    finding: what was found. cell: one that does not agree. ways: what may be declared, a phrase
    each.
    """

    def __init__(self, finding: str, *, cell: str, ways: Sequence[str]) -> None:
        super().__init__(finding)
        self.finding, self.cell, self.ways = finding, cell, tuple(ways)


@dataclass(frozen=True, slots=True)
class Convention:
    """What a column holds and how it is written; `assumptions` says what was not certain."""

    kind: Kind
    reading: Reading = Reading()
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hints:
    """What is known of a column beside its cells.

    decimal, thousands: as declared, "" where they are not. separator: of the file's cells.
    likely_decimal: the sign of other columns of the file, "" where none tells.
    """

    decimal: str = ""
    thousands: str = ""
    separator: str = ","
    likely_decimal: str = ""


def convention_of(counts: Counts, given: Reading, hints: Hints) -> Convention | None:
    """What a column holds that no kind was declared for; None when it holds words.

    given: what was declared of its reading. Raises Question.
    """
    known = _known(counts, "number", given)
    for find in (_as_number, _as_date, _as_boolean):
        if found := find(known, given, hints):
            return found
    _refuse_meaningless(known)
    return None


def _refuse_meaningless(known: Counts) -> None:
    """Raise Question for durations and nested values, which as words hardly ever repeat."""
    total = sum(known.values())
    for called, pattern in _MEANINGLESS.items():
        like = {cell: count for cell, count in known.items() if pattern.fullmatch(cell.strip())}
        if known and sum(like.values()) >= NEARLY_ALL * total:
            cell = next(iter(like))
            raise Question(
                f"{sum(like.values())} of {total} cells are {called}, as {cell[:40]!r}",
                cell=cell,
                ways=[
                    "write what matters of them as columns of numbers or words",
                    "name the column in ignore",
                    'kind = "text" or kind = "category", if they are to be taken as words',
                ],
            )


def reading_of(counts: Counts, kind: Kind, given: Reading, hints: Hints) -> Convention:
    """How a column of a declared kind is written. Raises Question."""
    known, found = _known(counts, kind, given), None
    if kind == "number":
        found = _as_number(known, given, hints, codes=True)
    elif kind == "datetime":
        found = _as_date(known, given, hints)
    return found or Convention(kind, given)


def decimal_of(columns: Iterable[Counts], given: Reading) -> str:
    """The decimal sign of a file, where its columns leave no doubt of it; else ""."""
    found = set()
    for counts in columns:
        known = _known(counts, "number", given)
        if any("," in cell or "." in cell for cell in known):
            styles = _styles_of(known, _unit_of(known), Hints())
            decimals = {decimal for (decimal, _), misfits in styles if not misfits}
            found |= decimals if len(decimals) == 1 else set()
    return found.pop() if len(found) == 1 else ""


def _known(counts: Counts, kind: Kind, given: Reading) -> dict[str, int]:
    return {
        cell: count for cell, count in counts.items() if not cells.is_missing(cell, kind, given)
    }


def _as_number(
    known: dict[str, int], given: Reading, hints: Hints, *, codes: bool = False
) -> Convention | None:
    """codes: whether numbers that begin with 0 or have many digits are numbers all the same."""
    if not known or (not codes and any(_CODE.fullmatch(cell.strip()) for cell in known)):
        return None
    unit = _unit_of(known)
    styles = _styles_of(known, unit, hints)
    fewest, total = min(misfits for _, misfits in styles), sum(known.values())
    if fewest > (1 - NEARLY_ALL) * total:
        return None
    fitting = [style for style, misfits in styles if misfits == fewest]
    decimal, thousands = _settled(fitting, known, unit, hints)
    reading = replace(given, decimal=decimal, thousands=thousands, unit=unit)
    if fewest:
        raise _odd_cell(known, reading, "number", total - fewest, total)
    _refuse_mixed_percent(known, unit)
    return Convention("number", reading, tuple(_said_of_numbers(known, reading)))


def _styles_of(known: Counts, unit: str, hints: Hints) -> list[tuple[tuple[str, str], int]]:
    """Each way of writing numbers that may be meant, with how many cells do not follow it."""
    bare = Counter[str]()
    for cell, count in known.items():
        bare[cells.bare_number(cell, unit)] += count
    found = []
    for decimal, thousands in _STYLES:
        if hints.decimal not in ("", decimal) or hints.thousands == decimal:
            continue
        if hints.thousands and thousands not in ("", hints.thousands):
            continue
        pattern = cells.number_pattern(decimal, thousands)
        misfits = sum(count for cell, count in bare.items() if not pattern.fullmatch(cell))
        found.append(((decimal, thousands), misfits))
    return found


def _settled(
    fitting: list[tuple[str, str]], known: Counts, unit: str, hints: Hints
) -> tuple[str, str]:
    """The one style that is meant. Raises Question where nothing tells."""
    # A separator of thousands that no cell has is not needed.
    plainest: dict[str, tuple[str, str]] = {}
    for decimal, thousands in fitting:
        if decimal not in plainest or not thousands:
            plainest[decimal] = (decimal, thousands)
    if len(plainest) == 1:
        return next(iter(plainest.values()))
    pointed = next((cell for cell in known if "," in cell or "." in cell), None)
    if pointed is None:
        return plainest["."]
    if hints.likely_decimal in plainest:
        return plainest[hints.likely_decimal]
    if hints.separator == ",":
        return plainest["."]
    first, second = (
        cells.number(pointed, Reading(*style, unit=unit)) for style in plainest.values()
    )
    raise Question(
        f"{pointed!r} may be {first:g} or {second:g}, and no other cell tells which",
        cell=pointed,
        ways=[f'decimal = "{one}"' for one in plainest],
    )


def _unit_of(known: Counts) -> str:
    """The currency or percent sign that most of the cells have; "" for none."""
    found: Counter[str] = Counter()
    for cell, count in known.items():
        if not cell.strip()[-1:].isdigit() or not cell.strip()[:1].isdigit():
            bare = cell.strip().strip("()+-\u2212 ")
            unit = next((u for u in (PERCENT, *CURRENCIES) if _has_unit(bare, u)), "")
            if unit:
                found[unit] += count
    return found.most_common(1)[0][0] if found else ""


def _has_unit(bare: str, unit: str) -> bool:
    rest = bare.removeprefix(unit).removesuffix(unit)
    return rest != bare and any(map(str.isdigit, rest))


def _refuse_mixed_percent(known: Counts, unit: str) -> None:
    if unit != PERCENT:
        return
    without = next((cell for cell in known if PERCENT not in cell and cell.strip("0.,+- ")), None)
    if without is not None:
        raise Question(
            f"some cells have a % sign and {without!r} has none",
            cell=without,
            ways=["write all cells with the sign, or none"],
        )


def _said_of_numbers(known: Counts, reading: Reading) -> Iterator[str]:
    if (reading.decimal, reading.thousands, reading.unit) != (".", "", ""):
        example = max(known, key=len)
        yield f"{example!r} is read as {cells.number(example, reading):.15g}"


def _odd_cell(
    known: Mapping[str, int], reading: Reading, kind: Kind, agree: int, total: int
) -> Question:
    read = cells.reader_of(kind, reading)
    odd = next(cell for cell in known if not _reads(read, cell))
    return Question(
        f"{agree} of {total} cells are {_PLURAL[kind]} and {odd!r} is none",
        cell=odd,
        ways=[
            f'missing = ["{odd[:80]}"], if it stands for a missing value',
            'kind = "category" or kind = "text", if the others are names as well',
            "or mend the cell",
        ],
    )


def _reads(read: Callable[[str], object], cell: str) -> bool:
    try:
        read(cell)
    except ValueError:
        return False
    return True


def _as_date(known: dict[str, int], given: Reading, hints: Hints) -> Convention | None:
    if not known:
        return None
    if given.format:
        return _all_in(known, [given.format], given)
    total = sum(known.values())
    iso = sum(
        count for cell, count in known.items() if is_iso_date(cell.strip().removesuffix(" UTC"))
    )
    if iso == total:
        return Convention("datetime", given)
    if iso >= NEARLY_ALL * total:
        raise _odd_cell(known, given, "datetime", iso, total)
    like = sum(count for cell, count in known.items() if _LIKE_A_DATE.match(cell.strip()))
    if like < NEARLY_ALL * total:
        return None
    return _all_in(known, _FORMATS, given)


def _all_in(known: dict[str, int], formats: Sequence[str], given: Reading) -> Convention | None:
    """The one format in which all cells are dates, if there is one. Raises Question."""
    total, fits = sum(known.values()), Counter[str]()
    some = list(known)[:: max(1, len(known) // SAMPLED)]
    # What reads none of these does not read nearly all; a format takes microseconds a cell.
    likely = [form for form in formats if any(cells.moment_in(one.strip(), form) for one in some)]
    for cell, count in known.items():
        for form in likely:
            if cells.moment_in(cell.strip(), form) is not None:
                fits[form] += count
    if not fits:
        return None
    best, agree = fits.most_common(1)[0]
    if agree < NEARLY_ALL * total:
        _refuse_mixed_order(known, fits, total)
        _refuse_mixed_formats(known, [best, *(form for form in likely if form != best)])
        return None
    rival = _RIVALS.get(best) or next((a for a, b in _RIVALS.items() if b == best), "")
    if rival and fits[rival] == agree:
        cell = next(iter(known))
        raise Question(
            f"{cell!r} may have the day or the month first, and no cell has a day beyond 12",
            cell=cell,
            ways=[f'format = "{best}"', f'format = "{rival}"'],
        )
    reading = replace(given, format=best)
    if agree < total:
        raise _odd_cell(known, reading, "datetime", agree, total)
    example = next(iter(known))
    said = f"{example!r} is read as {cells.moment(example, reading)}"
    return Convention("datetime", reading, () if given.format else (said,))


def _refuse_mixed_order(known: Counts, fits: Counter[str], total: int) -> None:
    """Days first in some cells and months first in others can be read in no way."""
    for one, other in _RIVALS.items():
        either = sum(
            count
            for cell, count in known.items()
            if cells.moment_in(cell.strip(), one) or cells.moment_in(cell.strip(), other)
        )
        if either == total and 0 < fits[one] < total and 0 < fits[other] < total:
            odd = next(cell for cell in known if not cells.moment_in(cell.strip(), one))
            raise Question(
                f"some dates have the day first and {odd!r} has the month first",
                cell=odd,
                ways=["write all dates in one order, or as 2024-05-31"],
            )


def _refuse_mixed_formats(known: Counts, formats: Sequence[str]) -> None:
    """Dates all, but written in several ways, which no one format reads."""
    dates = [
        cell
        for cell in known
        if is_iso_date(cell.strip()) or any(cells.moment_in(cell.strip(), one) for one in formats)
    ]
    if len(dates) < len(known):
        return
    odd = next((cell for cell in dates if not cells.moment_in(cell.strip(), formats[0])), dates[0])
    raise Question(
        f"dates are written in several ways, as {next(iter(known))!r} and {odd!r}",
        cell=odd,
        ways=["write all dates in one way, best as 2024-05-31", 'kind = "category"'],
    )


def _as_boolean(known: dict[str, int], given: Reading, hints: Hints) -> Convention | None:
    total = sum(known.values())
    agree = sum(
        count for cell, count in known.items() if cell.strip().casefold() in ("true", "false")
    )
    if not total or agree < NEARLY_ALL * total:
        return None
    if agree < total:
        raise _odd_cell(known, given, "boolean", agree, total)
    return Convention("boolean", given)


def is_iso_date(text: str) -> bool:
    """Whether it is a date or time that begins as 2024-05-31."""
    if not _ISO_DATE.match(text):
        return False
    try:
        parse_moment(text)
    except ValueError:
        return False
    return True


_PLURAL: dict[Kind, str] = {
    "number": "numbers", "datetime": "dates", "boolean": "true or false",
    "category": "categories", "text": "texts",
}  # fmt: skip
