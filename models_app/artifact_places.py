"""Where MLflow keeps an experiment's files when no server of its decides that."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings


def artifact_location(experiment: str) -> str | None:
    """An address below the storage or the home; None where a server knows its own.

    MLflow's tables in PostgreSQL are shared by hosts, and so are the files then, if they can be.
    """
    scheme = urlsplit(settings.MLFLOW_TRACKING_URI).scheme
    if scheme.startswith("postgresql") and settings.EVERLEARN_STORAGE:
        return f"{settings.EVERLEARN_STORAGE}/mlartifacts/{experiment}"
    if scheme == "sqlite" or scheme.startswith("postgresql"):
        return (settings.EVERLEARN_HOME / "mlartifacts" / experiment).as_uri()
    return None
