"""Training sets as files, for whoever trains elsewhere.

A Parquet file is exact, and says under `everlearn` in its metadata, as JSON, all that training
depends on beside the rows.
"""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet

from feedback_app.registering import installation
from feedback_app.snapshots import Training
from feedback_app.spreadsheets import harmless
from feedback_app.training_rows import seed_of
from models_app.models import RegisteredModel

NOTE = b"everlearn"


def as_csv(frame: pd.DataFrame) -> bytes:
    """The table as CSV, its texts marked where a spreadsheet would take them for formulas."""
    texts = frame.select_dtypes(include=["object", "str"]).columns
    marked = {name: frame[name].map(harmless, na_action="ignore") for name in texts}
    return frame.assign(**marked).rename(columns=harmless).to_csv(index=False).encode()


def as_parquet(model: RegisteredModel, training: Training, *, run_id: int | None) -> bytes:
    """The rows as Parquet, with a note. run_id: of the run that they are frozen for."""
    table = pyarrow.Table.from_pandas(training.rows, preserve_index=False)
    note = json.dumps(_note(model, training, run_id)).encode()
    buffer = BytesIO()
    noted = table.replace_schema_metadata({**table.schema.metadata, NOTE: note})
    pyarrow.parquet.write_table(noted, buffer)
    return buffer.getvalue()


def _note(model: RegisteredModel, training: Training, run_id: int | None) -> dict[str, Any]:
    frozen = {"run": run_id, "snapshot_digest": training.digest} if run_id else {}
    return {
        "installation": installation(),
        "model": model.name,
        "task": model.task,
        "target": model.target,
        "metric": model.metric,
        "estimator": model.estimator,
        "recipe": model.recipe,
        "schema": model.schema.to_json(),
        "reading": model.reading,
        "seed": seed_of(training.digest),
        "feedback_rows": training.feedback_rows,
        "never": training.never,
        "repeated": training.repeated,
        **frozen,
    }
