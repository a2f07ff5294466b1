"""A GitHub workflow's `run:` steps, carried out as a runner does, in a checkout of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from django.conf import settings

NOT_CHECKED_OUT = (".venv*", ".git", "var", "__pycache__", ".*_cache", ".hypothesis", "build")
EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")
STEP_WITHIN = 300

Meanwhile = Callable[[subprocess.Popen[str]], object]


@dataclass(frozen=True)
class Done:
    """A step that ran: its script, exit status, what it said, and its part of the job's page."""

    script: str
    status: int
    said: str
    page: str


def check_out(folder: Path) -> Path:
    """This code in `folder`, ready as after `make`, with nothing that was written at run time."""
    ignore = shutil.ignore_patterns(*NOT_CHECKED_OUT)
    shutil.copytree(settings.BASE_DIR, folder, ignore=ignore)
    (folder / ".venv").symlink_to((settings.BASE_DIR / ".venv").resolve())
    return folder


class Runner:
    """Runs one job of a workflow. event: as expressions find it; secrets: all others are empty."""

    def __init__(
        self, checkout: Path, workflow: str, *, secrets: Mapping[str, str], **event: Any
    ) -> None:
        self.checkout = checkout
        described = yaml.safe_load((checkout / ".github/workflows" / workflow).read_text())
        (self.job,) = described["jobs"].values()
        self.context = {"secrets": secrets, "inputs": {}, **event}

    def run(self, *, job_id: int, meanwhile: Meanwhile = lambda process: None) -> list[Done]:
        """Run every step that a runner would; `meanwhile` is given the first one at work."""
        done: list[Done] = []
        for step in self.job["steps"]:
            failed = any(one.status for one in done)
            if "run" not in step or (failed and step.get("if") != "always()"):
                continue
            done.append(self._run(step, job_id, meanwhile if not done else lambda process: None))
        return done

    def _run(self, step: Mapping[str, Any], job_id: int, meanwhile: Meanwhile) -> Done:
        page = self.checkout / "page.md"
        page.write_text("")
        given = {**self.job.get("env", {}), **step.get("env", {})}
        process = subprocess.Popen(
            ["/bin/bash", "-e", "-c", step["run"]],
            cwd=self.checkout, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={
                "PATH": os.environ["PATH"], "HOME": str(self.checkout), "CI": "true",
                "GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com",
                "GITHUB_REPOSITORY": "acme/models", "GITHUB_RUN_ID": str(job_id),
                "GITHUB_RUN_ATTEMPT": "1", "GITHUB_STEP_SUMMARY": str(page),
                **{name: self._evaluated(str(value)) for name, value in given.items()},
            },
        )  # fmt: skip
        meanwhile(process)
        said, _ = process.communicate(timeout=STEP_WITHIN)
        return Done(step["run"], process.returncode, said, page.read_text())

    def _evaluated(self, text: str) -> str:
        return EXPRESSION.sub(lambda found: self._value(found[1]), text)

    def _value(self, expression: str) -> str:
        values = (self._term(term) for term in expression.split(" || "))
        return next((value for value in values if value), "")

    def _term(self, term: str) -> str:
        if term.startswith("'"):
            return term.strip("'")
        found: Any = self.context
        for name in term.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        return "" if found is None else str(found)
