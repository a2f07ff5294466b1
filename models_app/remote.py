"""What MLflow says of models, versions and runs, without MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class RemoteVersion:
    """A model version as MLflow's registry describes it."""

    number: int
    mlflow_run_id: str
    source: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class RemoteModel:
    """A registered model as MLflow's registry describes it."""

    versions: list[RemoteVersion]
    aliases: Mapping[str, int]


@dataclass(frozen=True)
class RemoteRun:
    """What a run of MLflow was tagged and logged with."""

    tags: Mapping[str, str]
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
