"""docs/reference/estimators.md says of each estimator in which form it serves, and keeps to it."""

from __future__ import annotations

import re
import warnings
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from django.conf import settings
from threadpoolctl import threadpool_limits

from models_app.learning import pipeline
from models_app.learning.tables import Task
from tests.models_app.test_conversion import Learnt, mixed

PAGE = settings.BASE_DIR / "docs/reference/estimators.md"
_LINE = re.compile(r"\| `([\w.-]+)` \| ([^|]+) \| ([^|]+) \|([^|]*)\|")
LINES = {name: rest for name, *rest in _LINE.findall(PAGE.read_text())}
CASES = [
    (name, task, says.strip())
    for name, (*forms, _) in LINES.items()
    for task, says in zip(get_args(Task), forms, strict=True)
    if says.strip() != "–"
]


def numbers(rows: int = 160) -> tuple[pd.DataFrame, str]:
    """The mixed table with a number to answer."""
    frame, _ = mixed(rows)
    chance = np.random.default_rng(1)
    filled = frame["a b"].fillna(0) * 3 + np.log(frame["a_b"] + 1)
    frame["price"] = filled + chance.normal(size=rows) * 0.1 + 20
    return frame.drop(columns="yes_no"), "price"


@pytest.mark.parametrize(("name", "task", "says"), CASES)
def test_an_estimator_serves_in_the_form_that_the_page_says(
    name: str, task: Task, says: str
) -> None:
    frame, target = mixed(160) if task == "classification" else numbers()
    with threadpool_limits(1), warnings.catch_warnings():
        # Small data and few turns are enough to see the form.
        warnings.simplefilter("ignore")
        made = Learnt(frame, target, name).bundled()

    assert {"onnx": "graph"}.get(made.runtime, made.runtime) == says, made.fallback_reason


def test_the_page_has_the_whole_catalogue() -> None:
    said = {
        (name, task) for name, task, says in CASES if says == "graph" and name in pipeline.CATALOGUE
    }

    assert said == {
        (name, task) for name, entry in pipeline.CATALOGUE.items() for task in entry.makers
    }


def test_each_estimator_that_falls_back_has_its_reason() -> None:
    for name, (*forms, why) in LINES.items():
        assert ("estimator" in "".join(forms)) == bool(why.strip()), name
