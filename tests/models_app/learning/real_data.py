"""Frames that the tests learn from: scikit-learn's own sets, and two awkward ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from io import StringIO
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import datasets

from models_app.learning import tables
from models_app.learning.schema import Schema
from models_app.learning.tables import Task


@dataclass(frozen=True)
class Prepared:
    """A frame made ready to learn from, as training does it."""

    frame: pd.DataFrame
    target: str
    schema: Schema
    task: Task
    encoded: pd.DataFrame
    targets: NDArray[Any]


@cache
def prepared(name: str) -> Prepared:
    frame, target = FRAMES[name]()
    frame = tables.usable_rows(frame, target)
    schema = tables.infer_schema(frame, target=target)
    task = tables.infer_task(frame[target])
    encoded = tables.encode(frame, schema)
    return Prepared(frame, target, schema, task, encoded, tables.targets_of(frame[target], task))


def bundled(load: Any) -> tuple[pd.DataFrame, str]:
    return load(as_frame=True).frame, "target"


def passwords(rows: int = 200) -> tuple[pd.DataFrame, str]:
    """Generated: one text column, with blanks, signs and unicode, and a number to predict."""
    random = np.random.default_rng(7)
    letters = np.array(list("abcdefgxyz0123456789!@ é"))
    texts = ["".join(random.choice(letters, random.integers(3, 14))) for _ in range(rows)]
    times = [40.0 - 2 * len(text) + 3 * text.count("a") + random.normal() for text in texts]
    return pd.DataFrame({"Password": texts, "Times": times}), "Times"


def mixed(rows: int = 120) -> tuple[pd.DataFrame, str]:
    """Generated: every kind, gaps everywhere, awkward names; read back from a CSV."""
    random = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "class": random.choice(["a", "b", "c"], rows),
            "lambda": random.normal(size=rows),
            "tail length (mm.)": random.integers(0, 90, rows),
            "naïve": random.choice(["True", "False"], rows),
            "when": pd.date_range("2024-01-01", periods=rows, freq="7h").astype(str),
            "nothing": [None] * rows,
            "constant": 1,
        }
    )
    answer = np.where(frame["lambda"] + (frame["class"] == "a") > 0.5, "yes", "no")
    frame = frame.astype(object).mask(random.random(frame.shape) < 0.1)
    frame["tail length (mm.)"] = random.integers(0, 90, rows)
    return pd.read_csv(StringIO(frame.assign(good=answer).to_csv(index=False))), "good"


FRAMES: dict[str, Callable[[], tuple[pd.DataFrame, str]]] = {
    "wine": lambda: bundled(datasets.load_wine),
    "breast cancer": lambda: bundled(datasets.load_breast_cancer),
    "digits": lambda: bundled(datasets.load_digits),
    "diabetes": lambda: bundled(datasets.load_diabetes),
    "passwords": passwords,
    "mixed": mixed,
}
