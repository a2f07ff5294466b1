"""A table with columns of every kind, and versions that were trained on it and registered."""

from __future__ import annotations

import csv
import uuid
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from django.conf import settings
from django.core.management import call_command
from rest_framework.test import APIClient

from everlearn.keys import create_key
from models_app.actors import system_user
from models_app.models import RegisteredModel
from tests.feedback_app import trained

Row = dict[str, Any]

DECLARED = """
[models.{name}]
task = "{task}"
data = "{data}"
target = "{target}"
estimator = "{estimator}"
features.joined.kind = "datetime"
features.active.kind = "boolean"
features.plan.kind = "category"
features.branch.kind = "category"
features.seats.kind = "number"
features.spend.kind = "number"
features.note.kind = "text"
features.renewed.kind = "datetime"
features.renewed.required = false
features.trial.kind = "boolean"
features.trial.required = false
"""
# Those in which rows below miss values.
OPTIONAL = ("branch", "spend", "renewed", "trial")


@dataclass(frozen=True)
class Registered:
    """A version in MLflow, the rows that it learnt from, and what REST answered to them."""

    name: str
    uri: str
    rows: tuple[Row, ...]
    predictions: tuple[Row, ...]

    @property
    def values(self) -> list[Any]:
        return [one["value"] for one in self.predictions]


@cache
def registered(task: str = "classification", estimator: str = "logistic") -> Registered:
    """A version that answers whether somebody `left`, or how many `months` they stay; made once.

    Its name is its own: MLflow keeps what the test's transaction does not.
    """
    name = f"raw-{uuid.uuid4().hex[:8]}"
    target = "left" if task == "classification" else "months"
    data = Path(settings.EVERLEARN_HOME) / f"{name}.csv"
    rows = [*_rows()]
    _write(data, rows, target)
    declared = data.with_suffix(".toml")
    declared.write_text(
        DECLARED.format(name=name, task=task, data=data, target=target, estimator=estimator)
    )
    call_command("apply", str(declared), stdout=StringIO(), stderr=StringIO())
    run = trained.train(RegisteredModel.objects.get(name=name))
    assert run.status == "succeeded", run.error
    return Registered(name, f"models:/{name}/1", tuple(rows), tuple(asked(name, rows)))


def asked(name: str, rows: list[Row]) -> list[Row]:
    """What REST answers to rows, in full precision."""
    key = create_key(f"raw-{uuid.uuid4().hex[:8]}", ["predict"], actor=system_user("cli"))
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    response = client.post(f"/api/models/{name}/predict/", {"instances": rows})
    assert response.status_code == 200, response.content
    predictions: list[Row] = response.json()["predictions"]
    return predictions


def framed(rows: list[Row] | tuple[Row, ...]) -> pd.DataFrame:
    """The rows as `read_csv` gives them: NaN for what is missing, integers where all are."""
    return pd.read_csv(StringIO(_as_csv(list(rows))))


def _rows() -> list[Row]:
    chance = np.random.default_rng(7)
    return [_row(chance, number) for number in range(160)]


def _row(chance: np.random.Generator, number: int) -> Row:
    day, year = chance.integers(1, 29), chance.integers(2021, 2025)
    row = {
        "joined": f"{year}-{chance.integers(1, 13):02}-{day:02}",
        "active": bool(chance.random() < 0.6),
        "plan": str(chance.choice(["free", "basic", "pro plus"])),
        "branch": int(chance.integers(1, 5)),
        "seats": int(chance.integers(1, 40)),
        "spend": round(float(chance.gamma(2.0, 30.0)), 2),
        "note": " ".join(chance.choice(["late", "Paid", "über", "call 2"], 3)) + f" n{number}",
        "renewed": f"2024-05-{day:02}T{chance.integers(0, 24):02}:30:00+02:00",
        "trial": bool(chance.random() < 0.5),
    }
    missing = [name for name in OPTIONAL if chance.random() < 0.2]
    return {name: value for name, value in row.items() if name not in missing}


def _left(row: Row) -> str:
    return "yes" if row["active"] != (row["plan"] == "free") and row["seats"] < 25 else "no"


def _months(row: Row) -> float:
    return float(round(row["seats"] * 1.5 + (row["plan"] == "basic") * 9 + row["active"] / 3, 3))


def _write(path: Path, rows: list[Row], target: str) -> None:
    answer = _left if target == "left" else _months
    path.write_text(_as_csv([{**row, target: answer(row)} for row in rows]))


def _as_csv(rows: list[Row]) -> str:
    names = dict.fromkeys(name for row in rows for name in row)
    file = StringIO()
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {
            name: str(value).lower() if isinstance(value, bool) else value
            for name, value in row.items()
        }
        for row in rows
    )
    return file.getvalue()
