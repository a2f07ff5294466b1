"""What the house rules say about the tree and no linter checks."""

import ast
import importlib
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.utils.module_loading import import_string

from everlearn.configuration import settings_table

ROOT = settings.BASE_DIR
ROOMS = ("everlearn", "feedback_app", "models_app")
HEAVY = {"pandas", "sklearn", "mlflow", "scipy", "skops", "skl2onnx"}


def _sources(*rooms: str) -> list[Path]:
    found = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    return [path for path in found if "migrations" not in path.parts]


def _functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", length


def test_no_function_is_over_forty_lines() -> None:
    lengths = [named for path in _sources(*ROOMS, "tests") for named in _functions(path)]

    assert [(name, length) for name, length in lengths if length > 40] == []


def test_functions_are_short_as_a_rule() -> None:
    lengths = [length for path in _sources(*ROOMS) for _, length in _functions(path)]

    assert statistics.median(lengths) <= 8
    assert statistics.quantiles(lengths, n=10)[-1] <= 25


def test_no_file_is_over_four_hundred_lines() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in _sources(*ROOMS, "tests")}

    assert {path: length for path, length in lengths.items() if length > 400} == {}


def test_no_module_is_named_for_nothing_in_particular() -> None:
    shapeless = {"utils", "helpers", "services", "common", "misc", "base", "core", "manager"}

    # Django asks for this name of a database backend.
    backends = {ROOT / "everlearn/postgresql/base.py", ROOT / "everlearn/sqlite/base.py"}
    assert {path for path in _sources(*ROOMS) if path.stem in shapeless} == backends


def test_the_learning_package_re_exports_nothing() -> None:
    assert (ROOT / "models_app/learning/__init__.py").read_text() == ""


def _modules_after(statement: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}\nimport sys; print(*sys.modules)"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import django; django.setup(); import models_app.serving",
        # All that a web process loads before it answers, the admin and its forms included.
        "import everlearn.wsgi; from django.urls import get_resolver; get_resolver().url_patterns",
    ],
    ids=["serving", "web process"],
)
def test_serving_loads_nothing_that_trains(statement: str) -> None:
    assert _modules_after(statement).isdisjoint(HEAVY)


def test_commands_on_stored_rows_load_nothing_that_learns() -> None:
    """Each is waited for by a person, and that would take seconds."""
    commands = "feedback_app.exporting, feedback_app.erasing, everlearn.backups.restoring"

    loaded = _modules_after(f"import django; django.setup(); import {commands}")

    assert loaded.isdisjoint(HEAVY - {"pandas"})


def test_the_learning_package_loads_no_django() -> None:
    names = [path.stem for path in _sources("models_app/learning") if path.stem != "__init__"]
    statement = "import " + ", ".join(f"models_app.learning.{name}" for name in names)

    assert _modules_after(statement).isdisjoint({"django", "rest_framework", "mlflow"})


def test_the_example_of_the_environment_agrees_with_the_code() -> None:
    example = (ROOT / ".env.example").read_text()
    shown = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", example, re.MULTILINE))

    assert shown == {
        setting.metadata["name"]: setting.metadata["default"] for setting in settings_table()
    }
    for setting in settings_table():
        assert f"# {setting.metadata['help']}\n" in example


def test_every_task_that_the_queue_finds_by_name_is_there() -> None:
    rooms = "\n".join(path.read_text() for path in _sources(*ROOMS))
    named = set(re.findall(r"""["'](feedback_app\.tasks\.\w+)["']""", rooms))

    assert named
    for task in named:
        assert callable(import_string(task))


def test_only_one_module_puts_tasks_on_the_queue() -> None:
    callers = [path for path in _sources(*ROOMS) if "async_task" in path.read_text()]

    assert [path.relative_to(ROOT).as_posix() for path in callers] == ["feedback_app/queueing.py"]


def test_every_dotted_path_in_the_settings_is_there() -> None:
    text = (ROOT / "everlearn/settings.py").read_text()

    for dotted in re.findall(r'"(everlearn\.[\w.]+)"', text):
        try:
            import_string(dotted)
        except ImportError:
            importlib.import_module(dotted)


def test_the_lock_holds_hashes_and_no_address() -> None:
    lock = (ROOT / "requirements.lock").read_text()

    assert "--hash=sha256:" in lock
    assert "://" not in lock
    assert "index-url" not in lock
