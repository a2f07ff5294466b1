"""Estimators that a drill declares by their dotted path."""

from __future__ import annotations

import os
import time
from pathlib import Path

from sklearn.linear_model import LogisticRegression

HOLD = "hold"


def patient() -> LogisticRegression:
    """A logistic regression that is not made before the file `hold` is gone from the home."""
    while (Path(os.environ["EVERLEARN_HOME"]) / HOLD).exists():
        time.sleep(0.05)
    return LogisticRegression()
