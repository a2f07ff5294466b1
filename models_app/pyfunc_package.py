"""The Python package in a version's folder that lets MLflow's `pyfunc` take raw rows.

It is a copy of `pyfunc_model` and of the few modules that it needs, under a name that follows
from its contents: it meets neither EverLearn, where that is installed, nor the package that
another release wrote. EverLearn writes it and never loads it.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

LOADER = "pyfunc_model.py"
COPIED = "models_app.learning"


@cache
def package() -> tuple[str, dict[str, bytes]]:
    """The package's name, and its files by name."""
    sources = _sources()
    contents = "".join(sources[file] for file in sorted(sources))
    name = f"everlearn_{hashlib.sha256(contents.encode()).hexdigest()[:12]}"
    return name, {file: text.replace(COPIED, name).encode() for file, text in sources.items()}


def _sources() -> dict[str, str]:
    """The loader, as the package itself, and all of `models_app.learning` that it needs."""
    here = Path(__file__).parent
    sources = {"__init__.py": (here / LOADER).read_text(encoding="utf-8")}
    wanted = list(_imported(sources["__init__.py"]))
    while wanted:
        file = f"{wanted.pop()}.py"
        if file not in sources:
            sources[file] = (here / "learning" / file).read_text(encoding="utf-8")
            wanted += _imported(sources[file])
    return sources


def _imported(source: str) -> Iterator[str]:
    """Names of the modules of `models_app.learning` that a source imports."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ImportFrom) or node.module is None:
            continue
        if node.module == COPIED:
            yield from (one.name for one in node.names)
        elif node.module.startswith(f"{COPIED}."):
            yield node.module.removeprefix(f"{COPIED}.")
