"""What was understood of a model's data, as a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TextIO, cast

from django.core.management.base import OutputWrapper
from rich.console import Console
from rich.table import Table
from rich.text import Text

from models_app.applying import DataProfile

WIDTH = 120  # characters, where the output is no terminal


def show(described: DataProfile, stdout: OutputWrapper) -> None:
    """Write the columns, their kinds and examples, and every assumption and warning."""
    terminal = stdout.isatty()
    console = Console(
        file=cast(TextIO, stdout),
        force_terminal=terminal or None,
        width=None if terminal else WIDTH,
    )
    if described.pending:
        console.print(
            Text(f"{described.name}: `apply --reread` would read its data anew:", style="yellow")
        )
        for line in described.pending:
            console.print(Text(f"    {line}", style="yellow"))
    if described.profile:
        console.print(_table(described))


def _table(described: DataProfile) -> Table:
    profile = described.profile
    unusable = f", {profile['unusable']} more have no target" if profile["unusable"] else ""
    table = Table(
        title=f"{described.name}: {profile['rows']} rows{unusable}",
        title_justify="left",
        title_style="bold",
    )
    for heading in ("column", "kind", "missing", "examples", "notes"):
        table.add_column(heading, justify="right" if heading == "missing" else "left")
    for column in profile["columns"]:
        # Text, as a cell of the data may hold what would be markup.
        table.add_row(
            Text(column["name"] or "(no name)"),
            Text(column["kind"] or "left out", style="" if column["kind"] else "dim"),
            str(column["missing"] or ""),
            Text(", ".join(column["examples"]), style="dim"),
            _notes(column),
        )
    return table


def _notes(column: Mapping[str, Any]) -> Text:
    lines = [(line, "dim") for line in filter(None, [column["left_out"]])]
    lines += [(line, "cyan") for line in column["assumptions"]]
    lines += [(line, "yellow") for line in column["warnings"]]
    return Text("\n").join(Text(line, style=style) for line, style in lines)
