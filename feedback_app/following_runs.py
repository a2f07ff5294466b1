"""Show runs at a terminal until each has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO, cast

from django.core.management.base import OutputWrapper
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from feedback_app.models import RetrainingRun

LOOK_EVERY = 0.3


def wait_for_runs(runs: Sequence[RetrainingRun], stdout: OutputWrapper) -> list[RetrainingRun]:
    """The runs as they ended, in order; meanwhile a line each shows how far it is.

    Where nobody watches (a pipe, a log) each change of a run is a line of its own.
    """
    said: dict[int, str] = {}
    with _progress(stdout) as progress:
        lines = {run.pk: progress.add_task(_what(run), total=None) for run in runs}
        active = list(runs)
        while active:
            for run in active:
                run.refresh_from_db()
                _show(progress, lines[run.pk], run)
                if progress.disable and said.get(run.pk) != _what(run):
                    said[run.pk] = _what(run)
                    stdout.write(said[run.pk])
                    stdout.flush()
            active = [run for run in active if run.active]
            if active:
                time.sleep(LOOK_EVERY)
    return list(runs)


@contextmanager
def _progress(stdout: OutputWrapper) -> Iterator[Progress]:
    console = Console(file=cast(TextIO, stdout), force_terminal=stdout.isatty() or None)
    columns: tuple[Any, ...] = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not stdout.isatty()) as progress:
        yield progress


@contextmanager
def showing(
    stdout: OutputWrapper,
) -> Iterator[tuple[Callable[[str, int, int], None], Callable[[str], None]]]:
    """What shows step, done and total of a training in this process, and what says a line.

    Where nobody watches each change of the step is a line of its own.
    """
    with _progress(stdout) as progress:
        line, steps = progress.add_task("", total=None), [""]

        def say(text: str) -> None:
            if progress.disable:
                stdout.write(text)
                stdout.flush()
            else:
                progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

        def show(step: str, done: int, total: int) -> None:
            progress.update(line, description=step, completed=done, total=total or None)
            if progress.disable and step != steps[-1]:
                say(step)
            steps.append(step)

        yield show, say


def _show(progress: Progress, line: TaskID, run: RetrainingRun) -> None:
    if run.active:
        progress.update(line, description=_what(run), completed=run.done, total=run.total or None)
    else:
        progress.update(line, description=_what(run), completed=1, total=1)


def _what(run: RetrainingRun) -> str:
    state = run.step or run.status if run.active else run.status
    verdict = f", {run.verdict}" if run.verdict else ""
    return f"{run}: {state}{verdict}"
