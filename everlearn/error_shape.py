"""The shape of every error: {"type", "errors": [{"code", "detail", "attr"}]}, a pure matter."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from models_app.learning.schema import MAX_PROBLEMS, Problem

# What an error repeats of a request stays short, whatever was sent.
LONGEST_ATTR = 200
LONGEST_DETAIL = 1000


def error_body(status: int, problems: Iterable[Problem]) -> dict[str, Any]:
    """The body of an answer with that status."""
    return {
        "type": _type(status),
        "errors": [
            error(problem.code, problem.detail, problem.attr)
            for problem in islice(problems, MAX_PROBLEMS)
        ],
    }


def error(code: str, detail: str, attr: str | None) -> dict[str, Any]:
    """One entry of `errors`."""
    return {
        "code": code,
        "detail": detail[:LONGEST_DETAIL],
        "attr": (attr or "")[:LONGEST_ATTR] or None,
    }


def _type(status: int) -> str:
    if status == 400:
        return "validation_error"
    return "server_error" if status >= 500 else "client_error"
