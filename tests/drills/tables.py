"""The rows of an instance, read past the instance itself: `python -m tests.drills.tables`."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.conf import settings

if TYPE_CHECKING:
    # Needs Django set up, which the process that reads does itself.
    from tests.instance import Instance

Row = dict[str, Any]


@dataclass(frozen=True)
class Tables:
    """What `invariants` looks at; a row is a dictionary of the columns that it needs."""

    now: float = 0.0
    models: list[Row] = field(default_factory=list)
    deployments: list[Row] = field(default_factory=list)
    predictions: list[Row] = field(default_factory=list)
    feedback: list[Row] = field(default_factory=list)
    runs: list[Row] = field(default_factory=list)
    processes: list[Row] = field(default_factory=list)


def read(instance: Instance) -> Tables:
    """The rows as they are now, from a process of its own with the instance's settings."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.drills.tables"],
        cwd=settings.BASE_DIR, env=instance.environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Tables(**json.loads(done.stdout))


def _rows() -> Tables:
    import django

    django.setup()
    from django.utils import timezone

    from feedback_app.models import Feedback, RetrainingRun
    from models_app.models import Deployment, Prediction, RegisteredModel, WebProcess

    return Tables(
        now=timezone.now().timestamp(),
        models=_values(RegisteredModel, "name", "generation", serves="champion__number"),
        deployments=_values(
            Deployment, "generation", "action", "override", "at",
            model="registered_model__name", number="version__number", gate="version__gate",
            bundle="version__bundle_digest", previous_number="previous__number",
        ),
        predictions=_values(
            Prediction, "id", "generation", "value", "input",
            mark="subject", model="registered_model__name", number="version__number",
        ),
        feedback=_values(
            Feedback, "id", "value", "status", "prediction_id", mark="comment"
        ),
        runs=_values(
            RetrainingRun, "id", "status", "attempts", "waits", "leased_until", "not_before",
            "handed_over_at", model="registered_model__name",
        ),
        processes=_values(WebProcess, "host", "pid", "generations", "seen_at"),
    )  # fmt: skip


def _values(kind: Any, *columns: str, **renamed: str) -> list[Row]:
    from django.db.models import F

    named = {name: F(path) for name, path in renamed.items()}
    return [_plain(row) for row in kind.objects.order_by("pk").values(*columns, **named)]


def _plain(row: Row) -> Row:
    """Times become seconds since 1970, ids text."""
    return {
        name: value.timestamp() if hasattr(value, "timestamp")
        else str(value) if hasattr(value, "hex") and not isinstance(value, float) else value
        for name, value in row.items()
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(vars(_rows())))  # noqa: T201
