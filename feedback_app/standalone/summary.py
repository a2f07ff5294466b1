"""How a training elsewhere went: a page for people, on the terminal and on GitHub's job."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

UNTOUCHED = "The alias `prod` was not touched."


@dataclass(frozen=True, slots=True)
class Summary:
    """title: one line. lines: sentences below it. checks: of the gate's report."""

    title: str
    lines: Sequence[str] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    checks: Sequence[Mapping[str, Any]] = ()


def publish(summary: Summary, say: Callable[[str], None]) -> None:
    """Show it on the terminal, and on the page of the GitHub job if there is one."""
    for line in _text(summary):
        say(line)
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(page).open("a", encoding="utf-8") as file:
            file.write(markdown(summary))


def markdown(summary: Summary) -> str:
    """The page, in which nothing that came from outside is more than its text."""
    parts = [f"## {_plain(summary.title)}", *map(_plain, summary.lines)]
    if summary.metrics:
        rows = [(name, _number(value)) for name, value in sorted(summary.metrics.items())]
        parts.append(_table(("metric", "value"), rows))
    if summary.checks:
        parts.append(_table(("check of the gate", "passed", "value", "limit"), _checks(summary)))
    return "\n\n".join(parts) + "\n"


def _text(summary: Summary) -> Iterator[str]:
    # On one line each: GitHub takes one that begins with two colons for a command.
    yield from (" ".join(line.split()).lstrip(":") for line in (summary.title, *summary.lines))
    width = max(map(len, summary.metrics), default=0)
    for name, value in sorted(summary.metrics.items()):
        yield f"  {name:<{width}}  {_number(value)}"
    for check, passed, found, limit in _checks(summary):
        yield f"  {'ok' if passed == 'yes' else 'NO'} {check}: {found} ({limit})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _checks(summary: Summary) -> list[tuple[str, str, str, str]]:
    return [
        (
            check["name"],
            "yes" if check["passed"] else "NO",
            _number(check["value"]),
            _number(check["limit"]),
        )
        for check in summary.checks
    ]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _plain(text: str) -> str:
    """The text on one line, its signs escaped that Markdown or HTML would take for their own."""
    return re.sub(r"([\\`*_{}\[\]<>()#!|~&@$])", r"\\\1", " ".join(text.split()))
