"""Homes of their own for tests of backups, filled and asked by commands as an operator would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from django.conf import settings

from tests import environments

FILLED = """
from models_app import registry
from models_app.models import Prediction
from tests.factories import SHORT, make_champion, make_version
champion = make_champion()
make_version(turned=True)
for number in range(7):
    Prediction.objects.create(
        registered_model=champion.registered_model, version=champion, generation=1,
        input=SHORT | {"note": "tab\\there, line\\nthere, \\\\N"}, value="elm",
        subject=f"s{number}",
    )
registry.count_models()
"""
ASKED = """
from models_app.models import *
rows = Prediction.objects.order_by("pk").values_list("pk", "input", "subject", "version__number")
print(*rows, sep="\\n")
print(*Deployment.objects.values_list("generation", "reason", "actor__username"))
Prediction.objects.create(
    registered_model=RegisteredModel.objects.get(), version=ModelVersion.objects.first(),
    generation=1, input={}, value="elm",
)
make = RegisteredModel.objects.create(name="next", task="regression", data="x", target="y")
print(make.pk > RegisteredModel.objects.order_by("pk").first().pk)
make.delete()
Prediction.objects.filter(input={}).delete()
"""


def manage(home: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command of manage.py on `home`."""
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=settings.BASE_DIR, capture_output=True, text=True, check=False,
        env=environments.of_another(home, **environ),
    )  # fmt: skip


def ask(home: Path, script: str, **environ: str) -> str:
    """What a script prints that runs on `home`."""
    done = manage(home, "shell", "-v0", "-c", script, **environ)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fill(home: Path, **environ: str) -> None:
    """A migrated home with a champion, predictions and an MLflow of its own."""
    home.mkdir(exist_ok=True)
    assert manage(home, "migrate", "-v0", **environ).returncode == 0
    ask(home, FILLED, **environ)
