"""The one door to MLflow. Only the worker, its children and commands come through here.

Importing MLflow takes seconds and its client may hang for minutes, so no web process imports
this module, and every call has short limits.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import Any

from django.conf import settings

# Read by MLflow when it is imported: five seconds and one more try, instead of 120 and seven.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# Its login goes to the tracking server and nowhere else, whatever an answer says.
os.environ["MLFLOW_ALLOW_HTTP_REDIRECTS"] = "false"
os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD"] = "false"
os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD"] = "false"

import mlflow
import mlflow.sklearn
import requests
import skops.io
from mlflow.entities import LoggedModelOutput, Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec
from mlflow.types import Schema as Columns
from mlflow.types.schema import AnyType
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from sqlalchemy.exc import SQLAlchemyError

from models_app import artifact_places
from models_app.learning.schema import Schema
from models_app.pyfunc_package import package
from models_app.remote import RemoteModel, RemoteRun, RemoteVersion

LONGEST_PARAM = 6000
ALREADY = "RESOURCE_ALREADY_EXISTS"
ABSENT = "RESOURCE_DOES_NOT_EXIST"
REFUSALS = (ABSENT, "INVALID_PARAMETER_VALUE")
PIECE = 64 * 1024


class RegistryAway(Exception):
    """MLflow did not answer, or not as it should; the message is one line."""


class RegistryRefused(RegistryAway):
    """MLflow answered: what was asked for does not exist there, or is not valid."""


@dataclass(frozen=True)
class Logged:
    """Where MLflow keeps a version: its run, and the number that the registry gave it."""

    mlflow_run_id: str
    number: int


@dataclass(frozen=True)
class Entry:
    """What is logged about one version. `folder`: a zip that `pack` made."""

    name: str
    folder: bytes
    parameters: Mapping[str, object]
    metrics: Mapping[str, float]
    tags: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def _away() -> Iterator[None]:
    try:
        yield
    except (MlflowException, SQLAlchemyError, requests.RequestException, OSError) as error:
        line = str(error).strip().splitlines() or [type(error).__name__]
        refused = getattr(error, "error_code", "") in REFUSALS
        kind = RegistryRefused if refused else RegistryAway
        raise kind(f"MLflow at {tracking_uri()}: {line[0][:300]}") from error


def tracking_uri() -> str:
    """The tracking URI in use, without the password that it may hold."""
    scheme, _, rest = settings.MLFLOW_TRACKING_URI.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


@cache
def _client() -> mlflow.MlflowClient:
    # Two processes that make the tables of an empty database at once would both fail.
    settings.EVERLEARN_HOME.mkdir(parents=True, exist_ok=True)
    with (settings.EVERLEARN_HOME / "mlflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        mlflow.set_tracking_uri(settings.MLFLOW_TRACKING_URI)
        client = mlflow.MlflowClient()
        client.search_experiments(max_results=1)
    return client


def count_models() -> int:
    """How many registered models MLflow answers with, up to a thousand. Raises RegistryAway."""
    with _away():
        return len(_client().search_registered_models(max_results=1000))


def pack(
    estimator: Any, *, schema: Schema, requirements: Sequence[str], files: Mapping[str, bytes]
) -> bytes:
    """The folder that MLflow keeps of an estimator, with `files` in it too, as a zip.

    Made without MLflow's server, so that what was trained is safe before anything is sent.
    `mlflow.sklearn` loads the estimator, which takes encoded rows; `mlflow.pyfunc` loads it with
    code from the folder that takes raw ones. schema: the features of those. files: those of the
    bundle, which that code reads the features from.
    """
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        # It warns of its own type hints and of newer pandas, which nobody here can mend.
        warnings.simplefilter("ignore")
        folder, (loader, code) = Path(place) / "model", package()
        mlflow.sklearn.save_model(
            estimator,
            folder,
            signature=_signature(schema, is_classifier=hasattr(estimator, "classes_")),
            metadata={"kinds": {one.name: one.kind for one in schema.features}},
            code_paths=[str(_written(Path(place) / loader, code))],
            # No input_example: rows may be people's, and MLflow would keep them for ever.
            # Guessing the requirements would take twelve seconds.
            pip_requirements=list(requirements),
            serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS,
            # Only for those who load it through MLflow; we never do (see `runtimes`).
            skops_trusted_types=skops.io.get_untrusted_types(data=skops.io.dumps(estimator)),
        )
        described = mlflow.models.Model.load(folder)
        described.flavors[mlflow.pyfunc.FLAVOR_NAME][mlflow.pyfunc.MAIN] = loader
        described.save(str(folder / "MLmodel"))
        _written(folder, files)
        return Path(shutil.make_archive(str(folder), "zip", folder)).read_bytes()


def _signature(schema: Schema, *, is_classifier: bool) -> ModelSignature:
    """The declared features, of any type.

    What is sent is checked as in REST by what `pyfunc` loads. MLflow's types would refuse what is
    fine there (whole numbers in a column of doubles, dates as pandas reads them, a column that
    misses everything) and make other values of some (a missing boolean becomes false).
    """
    answer = DataType.string if is_classifier else DataType.double
    return ModelSignature(
        Columns([ColSpec(AnyType(), one.name, required=one.required) for one in schema.features]),
        Columns([ColSpec(answer)]),
        ParamSchema([ParamSpec("predict_method", DataType.string, "predict")]),
    )


def _written(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def log_version(
    entry: Entry, *, run_id: str, on_run: Callable[[str], None], taken: Container[int]
) -> Logged:
    """Log a run with its model and register it as the next version. Raises RegistryAway.

    Whoever is interrupted comes back with the same entry: run_id is the run of the try before
    ("" for none), on_run is told of a new one, and what is registered already is found again.
    taken: numbers that name something else here, as MLflow gives them anew once it has lost its
    own.
    """
    with _away():
        if not run_id:
            run = _client().create_run(_experiment(entry.name), tags=dict(entry.tags))
            run_id = run.info.run_id
            on_run(run_id)
        number = _registered(entry.name, run_id)
        if number is None:
            number = _register(entry, run_id, _log_run(entry, run_id), taken)
        _client().set_terminated(run_id)
        return Logged(run_id, number)


def _registered(name: str, run_id: str) -> int | None:
    asked = f"name='{name}' and run_id='{run_id}'"
    found = _client().search_model_versions(filter_string=asked)
    return min((int(version.version) for version in found), default=None)


def _log_run(entry: Entry, run_id: str) -> Any:
    parameters = [Param(key, str(value)[:LONGEST_PARAM]) for key, value in entry.parameters.items()]
    metrics = [Metric(key, value, 0, 0) for key, value in entry.metrics.items()]
    _client().log_batch(run_id, metrics=metrics, params=parameters)
    model = _client().create_logged_model(
        _experiment(entry.name),
        name="model",
        source_run_id=run_id,
        params={parameter.key: parameter.value for parameter in parameters},
    )
    artifact_places.refuse_untrusted(model.artifact_location)
    _client().log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(BytesIO(entry.folder)) as archive:
            archive.extractall(folder)
        described = mlflow.models.Model.load(folder)
        described.run_id, described.model_id = run_id, model.model_id
        described.save(str(Path(folder) / "MLmodel"))
        _client().log_model_artifacts(model.model_id, folder)
    return _client().finalize_logged_model(model.model_id, "READY")


def _register(entry: Entry, run_id: str, model: Any, taken: Container[int]) -> int:
    try:
        _client().create_registered_model(entry.name)
    except MlflowException as error:
        if error.error_code != ALREADY:
            raise
    while True:
        version = _client().create_model_version(
            entry.name, model.model_uri, run_id, tags=dict(entry.tags), model_id=model.model_id
        )
        if int(version.version) not in taken:
            return int(version.version)
        _client().delete_model_version(entry.name, version.version)


def _experiment(name: str) -> str:
    if found := _client().get_experiment_by_name(name):
        return str(found.experiment_id)
    try:
        return _client().create_experiment(
            name, artifact_location=artifact_places.artifact_location(name)
        )
    except MlflowException as error:
        if error.error_code != ALREADY:
            raise
        return _experiment(name)


def describe(name: str) -> RemoteModel | None:
    """The registered model `name` with its versions and aliases; None when MLflow has none.

    Raises RegistryAway.
    """
    with _away():
        try:
            found = _client().get_registered_model(name)
        except MlflowException as error:
            if error.error_code == ABSENT:
                return None
            raise
        versions = [
            RemoteVersion(int(one.version), one.run_id or "", one.source or "", dict(one.tags))
            for one in mlflow.search_model_versions(filter_string=f"name='{name}'")
        ]
        aliases = {alias: int(number) for alias, number in found.aliases.items()}
        return RemoteModel(versions, aliases)


def describe_run(mlflow_run_id: str) -> RemoteRun:
    """What a run was tagged and logged with. Raises RegistryAway."""
    with _away():
        data = _client().get_run(mlflow_run_id).data
        return RemoteRun(dict(data.tags), dict(data.params), dict(data.metrics))


def source_of(name: str, number: int) -> str:
    """Where MLflow keeps version `number` of `name`. Raises RegistryAway."""
    with _away():
        return _client().get_model_version(name, str(number)).source or ""


def fetch(source: str, path: str, *, most: int) -> bytes:
    """A file of a version's folder, as it is; nothing in it is run.

    most: bytes that it may have, whatever MLflow says of its size. Raises RegistryAway,
    RegistryRefused for more and for what is not there, and ArtifactUntrusted for a folder
    elsewhere.
    """
    with _away():
        location = _client().get_logged_model(source.removeprefix("models:/")).artifact_location
        artifact_places.refuse_untrusted(location)
        local = artifact_places.local_file(location, path)
        content = _read(local, most) if local else _downloaded(location, path, most)
    if len(content) > most:
        raise RegistryRefused(f"{path} has more than the {most} bytes that are allowed")
    return content


def _read(file: Path, most: int) -> bytes:
    if not file.is_file():
        raise RegistryRefused(f"there is no {file.name}")
    with file.open("rb") as opened:
        return opened.read(most + 1)


def _downloaded(location: str, path: str, most: int) -> bytes:
    repository = get_artifact_repository(location)
    listed = repository.list_artifacts(path.rpartition("/")[0])
    found = next((one for one in listed if one.path == path and not one.is_dir), None)
    if found is None:
        raise RegistryRefused(f"there is no {path}")
    if (found.file_size or 0) > most:
        raise RegistryRefused(f"{path} has {found.file_size} bytes, {most} are allowed")
    if isinstance(repository, HttpArtifactRepository):
        return _streamed(repository.artifact_uri, path, most)
    with tempfile.TemporaryDirectory() as place:
        return _read(Path(repository.download_artifacts(path, dst_path=place)), most)


def _streamed(address: str, path: str, most: int) -> bytes:
    """What a server sends, up to one byte more than it may."""
    content = bytearray()
    with http_request(get_default_host_creds(address), f"/{path}", "GET", stream=True) as answer:
        if answer.status_code != HTTPStatus.OK:
            raise RegistryAway(f"MLflow answers {answer.status_code} for {path}")
        for piece in answer.iter_content(PIECE):
            content += piece
            if len(content) > most:
                break
    return bytes(content[: most + 1])


def set_alias(name: str, alias: str, number: int) -> None:
    """Have `alias` name version `number`. Raises RegistryAway."""
    with _away():
        _client().set_registered_model_alias(name, alias, str(number))


def set_tags(name: str, number: int, tags: Mapping[str, str]) -> None:
    """Tag version `number` of `name`. Raises RegistryAway."""
    with _away():
        for key, value in tags.items():
            _client().set_model_version_tag(name, str(number), key, value)


def open_runs(name: str) -> dict[str, Mapping[str, str]]:
    """Ids and tags of the runs of model `name` that nobody has ended. Raises RegistryAway."""
    with _away():
        experiment = _client().get_experiment_by_name(name)
        if experiment is None:
            return {}
        found = _client().search_runs(
            [experiment.experiment_id], "attributes.status = 'RUNNING'", max_results=200
        )
        return {run.info.run_id: dict(run.data.tags) for run in found}


def kill_run(mlflow_run_id: str) -> None:
    """Mark a run as killed. Raises RegistryAway."""
    with _away():
        _client().set_terminated(mlflow_run_id, status="KILLED")
