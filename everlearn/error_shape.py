"""The shape of every error: {"type", "errors": [{"code", "detail", "attr"}]}, a pure matter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from models_app.learning.schema import Problem


def error_body(status: int, problems: Iterable[Problem]) -> dict[str, Any]:
    """The body of an answer with that status."""
    return {
        "type": _type(status),
        "errors": [
            {"code": problem.code, "detail": problem.detail, "attr": problem.attr or None}
            for problem in problems
        ],
    }


def _type(status: int) -> str:
    if status == 400:
        return "validation_error"
    return "server_error" if status >= 500 else "client_error"
