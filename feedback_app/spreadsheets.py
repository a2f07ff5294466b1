"""Cells that a spreadsheet shows as they are."""

from __future__ import annotations

import re
from typing import Any

# Numbers as anybody writes them, and the strokes that stand for none: no letters, no operators.
NUMBER = re.compile(r"[+-]?[\d.,' \u00a0\u202f]+([eE][+-]?\d+)? ?%?|-{1,3}", re.ASCII)
# What a spreadsheet takes for the beginning of a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def harmless(cell: Any) -> Any:
    """The cell, marked as text where a spreadsheet would take it for a formula."""
    if isinstance(cell, str) and cell.startswith(FORMULA) and not NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell
