"""Whether an instance of earlier still fits a schema that has changed since."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models_app.learning.schema import Schema

_ATTR = "features"


def fitted(schema: Schema, features: Mapping[str, Any]) -> dict[str, Any]:
    """The instance without what is no feature any more: base data has that no longer either."""
    known = set(schema.names)
    return {name: value for name, value in features.items() if name in known}


def misfitting(schema: Schema, features: Mapping[str, Any]) -> list[str]:
    """Names of the features that are required and missing, or of another kind; none if it fits.

    What is no feature any more fits, and what is optional may be missing.
    """
    problems = schema.problems(fitted(schema, features), _ATTR)
    return [problem.attr.removeprefix(f"{_ATTR}.") for problem in problems]
