"""What is kept of an error: of data that was not declared neither the contents nor the place.

A key may have a run read another file than the declared one. So that no key reads a file by way
of errors, such a run's error names declared columns only; the worker's log has the whole.
"""

from __future__ import annotations

from feedback_app.models import RetrainingRun
from feedback_app.training_rows import SchemaChanged
from models_app.datasets import DataRefused
from models_app.refusals import Refused
from models_app.registry import RegistryAway

IN_THE_LOG = "The worker's log says more."


def shareable(error: Exception, run: RetrainingRun) -> Exception:
    """The error as it may be kept with the run: of other data than declared no contents."""
    if run.data in ("", run.registered_model.data):
        return error
    if isinstance(error, SchemaChanged):
        return SchemaChanged(error.of_declared_columns)
    if isinstance(error, DataRefused):
        return DataRefused(f"{error.in_short} {IN_THE_LOG}")
    if isinstance(error, Refused | RegistryAway):
        return error
    return Refused(IN_THE_LOG, code=type(error).__name__)
