"""Read `everlearn.toml`: the declared models, checked, with file and line in every refusal."""

from __future__ import annotations

import codecs
import difflib
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from models_app.learning.triggers import check_schedule, parse_duration
from models_app.models import MODEL_NAME

FROM_SETTING = "env:DATA_URL"
TABLE_SUFFIXES = (".csv", ".parquet")
_NOT_BESIDE = "{!r} names no CSV or Parquet file that lies beside the declared data"


class DeclarationRefused(Exception):
    """The declaration cannot be used; the message names file, line and remedy."""


def _duration(text: str) -> str:
    parse_duration(text)
    return text


def _place(text: str) -> str:
    if text.startswith("env:") and text != FROM_SETTING:
        raise ValueError(f"{text!r} is no place; the one setting to read from is {FROM_SETTING!r}")
    return text


def _cron(text: str) -> str:
    check_schedule(text)
    return text


def _date_format(text: str) -> str:
    try:
        told = datetime(2024, 5, 31, tzinfo=UTC).strftime(text)
        read = datetime.strptime(told, text)  # noqa: DTZ007 - only whether it reads what it wrote
    except ValueError as error:
        raise ValueError(f"{text!r} is no format of dates: {error}") from None
    if (read.year, read.month, read.day) != (2024, 5, 31):
        raise ValueError(f"{text!r} needs a year, a month and a day, as '%d/%m/%Y' has them")
    return text


def _encoding(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError:
        raise ValueError(f"{name!r} is no encoding; usual ones are 'utf-8' and 'cp1252'") from None


Duration = Annotated[str, AfterValidator(_duration)]
Cron = Annotated[str, AfterValidator(_cron)]
Decimal = Literal[".", ","]
Thousands = Literal[",", ".", " ", "'"]
Share = Annotated[float, Field(gt=0, le=1)]


class Strict(BaseModel):
    """A table that refuses keys it does not know and values of another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class DeclaredFeature(Strict):
    """What the data alone does not say about one feature."""

    kind: Literal["number", "category", "text", "boolean", "datetime"] | None = None
    required: bool | None = None
    format: Annotated[str, AfterValidator(_date_format)] | None = None
    missing: list[str] | None = None
    decimal: Decimal | None = None
    thousands: Thousands | None = None
    label: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class DeclaredReading(Strict):
    """How the file of the base data is written, where that is not usual."""

    separator: Literal[",", ";", "\t", "|"] | None = None
    encoding: Annotated[str, AfterValidator(_encoding)] | None = None
    decimal: Decimal | None = None
    thousands: Thousands | None = None
    missing: list[str] = Field(default_factory=list)


class RetrainPolicy(Strict):
    """When to train again; a trigger that is not given is off."""

    schedule: Cron | None = None
    feedback: Annotated[int, Field(ge=1)] | None = None
    new_rows: Annotated[int, Field(ge=1)] | None = None
    cooldown: Duration = "1h"


class PromotionPolicy(Strict):
    """When a challenger may replace the champion, and who says so."""

    mode: Literal["manual", "auto"] = "manual"
    margin: Annotated[float, Field(ge=0, le=1)] = 0.005
    min_rows: Annotated[int, Field(ge=1)] = 30
    external: Literal["follow", "review"] = "follow"


class FeedbackPolicy(Strict):
    """What feedback must be looked at by a person, and how much it weighs."""

    review: Literal["all", "suspicious", "none"] = "suspicious"
    weight: Annotated[float, Field(gt=0, le=100)] = 1.0
    max_share_per_source: Share = 0.2


class DeclaredModel(Strict):
    """One `[models.NAME]` table."""

    task: Literal["classification", "regression"] | None = None
    data: Annotated[str, Field(min_length=1), AfterValidator(_place)]
    target: Annotated[str, Field(min_length=1)]
    public: bool = False
    estimator: Annotated[str, Field(min_length=1)] = "auto"
    metric: str | None = None
    ignore: list[str] = Field(default_factory=list)
    reading: DeclaredReading = Field(default_factory=DeclaredReading)
    features: dict[str, DeclaredFeature] = Field(default_factory=dict)
    retrain: RetrainPolicy = Field(default_factory=RetrainPolicy)
    promotion: PromotionPolicy = Field(default_factory=PromotionPolicy)
    feedback: FeedbackPolicy = Field(default_factory=FeedbackPolicy)


class Declaration(Strict):
    """A whole file."""

    default: str | None = None
    models: dict[str, DeclaredModel] = Field(default_factory=dict)


def read(path: Path) -> Declaration:
    """The declaration in `path`; data paths in it become absolute.

    Raises DeclarationRefused when the file is missing or not TOML, or names an unknown key,
    a wrong value, a malformed model name or an undeclared default.
    """
    try:
        # Editors on Windows begin a file with a byte order mark, which tomllib refuses.
        text = path.read_text(encoding="utf-8-sig")
        found = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise DeclarationRefused(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise DeclarationRefused(f"{path}: not TOML: {error}") from None
    try:
        declaration = Declaration.model_validate(found)
    except ValidationError as error:
        raise DeclarationRefused("\n".join(_explain(error, path, text))) from None
    _check_names(declaration, path, text)
    return declaration


def locate_data(data: str, folder: Path) -> str:
    """`data` as the trainer will read it: a path in `folder` becomes absolute, all else stays."""
    if data.startswith("env:") or "://" in data:
        return data
    return str((folder / Path(data).expanduser()).resolve())


def locate_beside(data: str, declared: str, *, apart_from: Path) -> str:
    """The path `data` of a table in the folder of the declared data, or below it.

    For those who may ask for a training but are not at home on this machine: a CSV or Parquet
    file by its relative path, where neither that nor where its links lead is hidden, climbs or
    lies in the folder `apart_from`, unless the declared data lies there. Raises
    DeclarationRefused for any other path, and for an address.
    """
    folder, private = Path(declared).parent.resolve(), apart_from.resolve()
    elsewhere = any(one.startswith("env:") or "://" in one for one in (data, declared))
    if elsewhere or not _is_plain_table(Path(data)):
        raise DeclarationRefused(_NOT_BESIDE.format(data[:200]))
    try:
        path = (folder / data).resolve()
        within = path.relative_to(folder)
    except (OSError, RuntimeError, ValueError):  # links in a circle, a name that is too long
        raise DeclarationRefused(_NOT_BESIDE.format(data[:200])) from None
    is_private = private in path.parents and private not in (folder, *folder.parents)
    if is_private or not _is_plain_table(within):
        raise DeclarationRefused(_NOT_BESIDE.format(data[:200]))
    return str(path)


def _is_plain_table(path: Path) -> bool:
    hidden = any(part.startswith((".", "~")) for part in path.parts)
    return not path.is_absolute() and not hidden and path.suffix.lower() in TABLE_SUFFIXES


def _explain(error: ValidationError, path: Path, text: str) -> Iterator[str]:
    for problem in error.errors():
        where = [str(part) for part in problem["loc"]]
        line = _line_of(where, text)
        key = ".".join(where)
        if problem["type"] == "extra_forbidden":
            yield f"{path}:{line}: unknown key {key!r}{_nearest(where)}"
        elif problem["type"] == "missing":
            yield f"{path}:{line}: {key!r} is required"
        else:
            given = problem["input"]
            why = problem["msg"].removeprefix("Value error, ")
            yield f"{path}:{line}: {key!r} is {given!r}: {why[:1].lower()}{why[1:]}"


def _nearest(where: list[str]) -> str:
    """`; did you mean …?` with the valid name nearest to the last one of `where`."""
    table = _table_at(where[:-1])
    if table is None:
        return ""
    near = difflib.get_close_matches(where[-1], table.model_fields, n=1, cutoff=0.0)
    return f"; did you mean {near[0]!r}?" if near else ""


def _table_at(where: list[str]) -> type[Strict] | None:
    policies: dict[str, type[Strict]] = {
        "reading": DeclaredReading,
        "retrain": RetrainPolicy,
        "promotion": PromotionPolicy,
        "feedback": FeedbackPolicy,
    }
    match where:
        case []:
            return Declaration
        case ["models", _]:
            return DeclaredModel
        case ["models", _, "features", _]:
            return DeclaredFeature
        case ["models", _, policy]:
            return policies.get(policy)
    return None


def _line_of(where: list[str], text: str) -> int:
    """The line of the deepest part of `where` that `text` spells out; tomllib keeps none."""
    best, best_depth, table = 1, 0, list[str]()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[+([^\]]+)\]", line):
            table = _keys(header[1])
            at = table
        elif key := re.match(r"\s*([^=#\[\]{}]+?)\s*=", line):
            at = [*table, *_keys(key[1])]
        else:
            continue
        if len(at) > best_depth and at == where[: len(at)]:
            best, best_depth = number, len(at)
    return best


def _keys(dotted: str) -> list[str]:
    return [
        first or second or third
        for first, second, third in re.findall(r'"([^"]*)"|\'([^\']*)\'|([\w-]+)', dotted)
    ]


def _check_names(declaration: Declaration, path: Path, text: str) -> None:
    for name in declaration.models:
        if not re.fullmatch(MODEL_NAME, name):
            line = _line_of(["models", name], text)
            raise DeclarationRefused(
                f"{path}:{line}: model name {name!r} does not match {MODEL_NAME}"
            )
    default = declaration.default
    if default is not None and default not in declaration.models:
        near = difflib.get_close_matches(default, declaration.models, n=1, cutoff=0.0)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        line = _line_of(["default"], text)
        raise DeclarationRefused(f"{path}:{line}: default {default!r} is not declared{hint}")
