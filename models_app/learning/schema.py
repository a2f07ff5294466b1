"""The features a model takes: checked as JSON, then encoded alike in training and serving."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from typing import Any, NamedTuple, Self

import numpy as np

from models_app.learning import cells, kinds
from models_app.learning.kinds import Columns, Fault, Kind
from models_app.learning.labels import Spellings
from models_app.learning.reading import USUAL, Reading
from models_app.learning.spelling import MAX_HINTS, unknown_name

# Of one request, whatever it holds.
MAX_PROBLEMS = 100

_ABSENT = object()
_MISSING: Fault = ("required", "This feature is required.")
_NULL: Fault = ("null", "This feature may not be null.")
_LONGEST_ATTR = 80


class Problem(NamedTuple):
    """What is wrong with one value: where (`instances.0.alcohol`), a code, a sentence."""

    attr: str
    code: str
    detail: str


class InvalidInstances(ValueError):
    """Instances that do not fit the schema; `problems` names the first 100."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{found.attr}: {found.detail}" for found in problems[:3]))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Feature:
    """One named input. categories: those seen in training, sorted; empty for other kinds.

    reading: how its cells are written in files. label: what forms and charts call it.
    """

    name: str
    kind: Kind
    required: bool = True
    categories: tuple[str, ...] = ()
    reading: Reading = USUAL
    label: str = ""

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns that the feature is encoded to: one, or one for each part of a date."""
        return kinds.column_names(self.name, self.kind)

    def encode(self, values: Sequence[Any]) -> Columns:
        """Its columns from n valid JSON values, None where missing; see `Schema.columns`."""
        return kinds.encode(self.name, self.kind, values)


def _feature_of(entry: Mapping[str, Any]) -> Feature:
    return Feature(
        str(entry["name"]),
        entry["kind"],
        bool(entry["required"]),
        tuple(str(category) for category in entry.get("categories", ())),
        Reading.from_json(entry["reading"]) if entry.get("reading") else USUAL,
        str(entry.get("label", "")),
    )


def _as_json(feature: Feature) -> dict[str, Any]:
    told = {"name": feature.name, "kind": feature.kind, "required": feature.required}
    extra = {
        "categories": list(feature.categories),
        "reading": feature.reading.to_json(),
        "label": feature.label,
    }
    return told | {key: value for key, value in extra.items() if value}


def _fault_of(feature: Feature) -> Callable[[Any], Fault | None]:
    if feature.kind == "datetime" and feature.reading.format:
        return partial(cells.date_fault, reading=feature.reading)
    return kinds.FAULT_OF[feature.kind]


@dataclass(frozen=True)
class Schema:
    """The features of a model, in order; `ignored`: columns that may be sent and change nothing.

    Raises ValueError for a kind that does not exist and for names that are empty or meet
    (a date `t` takes `t__year`, `t__month` and so on).
    """

    features: tuple[Feature, ...]
    ignored: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        taken: set[str] = set()
        for feature in self.features:
            if feature.kind not in kinds.KINDS:
                raise ValueError(unknown_name("kind", str(feature.kind), kinds.KINDS))
            if not feature.name or not taken.isdisjoint(feature.column_names):
                raise ValueError(f"feature {feature.name!r}: the name is empty or taken")
            taken.update(feature.column_names)

    @classmethod
    def from_json(cls, features: Iterable[Mapping[str, Any]]) -> Self:
        """The schema that `to_json` wrote. Raises ValueError when it is not one."""
        try:
            entries = list(features)
            ignored = tuple(str(one["name"]) for one in entries if one.get("ignored"))
            return cls(
                tuple(_feature_of(one) for one in entries if not one.get("ignored")), ignored
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a schema: {error!r}") from error

    def to_json(self) -> list[dict[str, Any]]:
        """One JSON object a feature, with what differs from the usual; then one an ignored column.

        An ignored column has its name and `"ignored": true`.
        """
        ignored = [{"name": name, "ignored": True} for name in self.ignored]
        return [*map(_as_json, self.features), *ignored]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The features' names, in order."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        """The names that `columns` gives, in its order: numbers and booleans come first."""
        others = (name for feature in self._others for name in feature.column_names)
        return (*self._numeric, *others)

    def check(self, instances: Sequence[object], *, prefix: str = "instances") -> None:
        """Raise InvalidInstances, naming up to 100 problems, unless every instance fits."""
        found: list[Problem] = []
        for index, instance in enumerate(instances):
            left = MAX_PROBLEMS - len(found)
            found += self.problems(instance, f"{prefix}.{index}", left=left)
            if len(found) == MAX_PROBLEMS:
                break
        if found:
            raise InvalidInstances(found)

    def problems(
        self, instance: object, attr: str, *, left: int = MAX_PROBLEMS
    ) -> Iterator[Problem]:
        """What is wrong with one instance; attr: where it stands, as `instances.0`.

        left: how many problems the request has left of its 100, the first 10 of which come with
        hints; no more are looked for.
        """
        hinted = max(0, left - MAX_PROBLEMS + MAX_HINTS)
        return islice(self._problems(instance, attr, hinted), left)

    def _problems(self, instance: object, attr: str, hinted: int) -> Iterator[Problem]:
        if not isinstance(instance, dict):
            yield Problem(attr, "invalid_instance", "An instance is an object: feature to value.")
            return
        known = 0
        for name, required, fault_of in self._rules:
            value = instance.get(name, _ABSENT)
            known += value is not _ABSENT
            if value is not None and value is not _ABSENT:
                fault = fault_of(value)
            else:
                fault = (_NULL if value is None else _MISSING) if required else None
            if fault:
                yield Problem(f"{attr}.{name}", *fault)
        if known != len(instance):
            yield from self._unknown(instance, attr, hinted)

    def columns(self, instances: Sequence[Mapping[str, Any]]) -> Columns:
        """Encode n checked instances, each column of shape (n,), ordered as `column_names`.

        number, boolean: float64, NaN when missing. category, text: object array of str, ""
        when missing. datetime: float64 parts in UTC (a time without a zone is UTC; `days` since
        1970-01-01, fractional), NaN when missing.
        """
        names = self._numeric
        rows = [[*map(instance.get, names)] for instance in instances]
        # One array for all numbers: thirty small ones would cost thirty times as much.
        block = np.array(rows, dtype=np.float64).reshape(len(rows), len(names)).T
        columns: Columns = dict(zip(names, np.ascontiguousarray(block), strict=True))
        for feature in self._others:
            columns |= feature.encode([row.get(feature.name) for row in instances])
        return columns

    def normalized(self, instances: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Checked instances as the model knows them, whoever wrote them in which way.

        Without the columns that are ignored; dates in the format of the file as ISO 8601; and
        categories as the training data spells them (`true` for True, 2 for 2.0).
        """
        if not self.ignored and not self._normal_forms:
            return list(map(dict, instances))
        return [self._normal(instance) for instance in instances]

    def _normal(self, instance: Mapping[str, Any]) -> dict[str, Any]:
        normal = dict(instance)
        for name in self.ignored:
            normal.pop(name, None)
        for name, spelt in self._normal_forms:
            if (value := normal.get(name)) is not None:
                text = spelt(value)
                # A number that is spelt as the data spells it stays the number that was sent.
                normal[name] = value if type(value) is int and text == str(value) else text
        return normal

    def unseen(self, instance: Mapping[str, Any]) -> list[str]:
        """Names of the category features whose value no training row had."""
        return [
            name
            for name, seen in self._seen
            if (value := instance.get(name)) is not None and kinds.category_text(value) not in seen
        ]

    def _unknown(self, instance: Mapping[str, Any], attr: str, hinted: int) -> Iterator[Problem]:
        allowed = self._name_set.union(self.ignored)
        unknown = (name for name in instance if name not in allowed)
        for number, name in enumerate(unknown):
            detail = unknown_name("feature", name, self.names, hint=number < hinted)
            yield Problem(f"{attr}.{name[:_LONGEST_ATTR]}", "unknown_feature", detail)

    @cached_property
    def _rules(self) -> tuple[tuple[str, bool, Callable[[Any], Fault | None]], ...]:
        return tuple((one.name, one.required, _fault_of(one)) for one in self.features)

    @cached_property
    def _normal_forms(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        dates = [
            (one.name, partial(cells.moment, reading=one.reading))
            for one in self.features
            if one.kind == "datetime" and one.reading.format
        ]
        categories = [
            (one.name, Spellings(one.categories).of) for one in self.features if one.categories
        ]
        return (*dates, *categories)

    @cached_property
    def _name_set(self) -> frozenset[str]:
        return frozenset(self.names)

    @cached_property
    def _numeric(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.features if one.kind in ("number", "boolean"))

    @cached_property
    def _others(self) -> tuple[Feature, ...]:
        return tuple(one for one in self.features if one.kind not in ("number", "boolean"))

    @cached_property
    def _seen(self) -> tuple[tuple[str, frozenset[str]], ...]:
        # A declared schema that nothing was trained with yet has seen no category at all.
        return tuple(
            (one.name, frozenset(one.categories)) for one in self.features if one.categories
        )
