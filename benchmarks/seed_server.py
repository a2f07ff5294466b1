"""What EverLearn replaces, for comparison: FastAPI, `mlflow.sklearn` and a DataFrame a request."""

from __future__ import annotations

import os
from typing import Any

import mlflow.sklearn
import pandas as pd
from fastapi import FastAPI

mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
estimator = mlflow.sklearn.load_model("models:/wine@prod")
app = FastAPI()


@app.post("/predict")
def predict(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Answer column-oriented rows, as the reference pipeline does."""
    return {"cultivar": estimator.predict(pd.DataFrame(columns)).tolist()}
