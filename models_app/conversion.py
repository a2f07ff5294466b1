"""Turn a fitted estimator into a bundle: as an ONNX graph when that answers the same.

"The same" is measured, row by row, on the rows given and on probes made to find the known
ways in which the two differ; else the estimator itself goes into the bundle.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
import skl2onnx
import sklearn

from models_app import bundles
from models_app.converters.graphs import NUMBERS, Inconvertible, graph_of
from models_app.learning.agreement import difference, tolerance
from models_app.learning.answers import Answers
from models_app.learning.background import background_rows
from models_app.learning.kinds import Columns
from models_app.learning.schema import Schema
from models_app.probes import probes_of
from models_app.refusals import BundleRefused
from models_app.runtimes import estimator as estimator_runtime
from models_app.runtimes import onnx as onnx_runtime
from models_app.runtimes.estimator import EstimatorRuntime
from models_app.runtimes.onnx import OnnxRuntime

logger = logging.getLogger(__name__)

SMOKE_ROWS = 10


@dataclass(frozen=True)
class MadeBundle:
    """A stored, verified bundle. fallback_reason: why it is not ONNX; empty when it is."""

    digest: str
    runtime: str
    fallback_reason: str


@dataclass(frozen=True)
class _Subject:
    """What is being bundled, and the rows on which every form of it must agree."""

    estimator: Any
    schema: Schema
    classes: tuple[str, ...]
    rows: Columns
    expected: Answers
    tolerance: float


@dataclass(frozen=True)
class _Form:
    """One form in which the estimator could serve: the runtime's name, a file, and it opened."""

    name: str
    file_name: str
    file: bytes
    runtime: bundles.Runtime
    inputs: Sequence[Sequence[str]] = ()


def make_bundle(
    estimator: Any,
    *,
    name: str,
    schema: Schema,
    task: str,
    classes: Sequence[str],
    instances: Sequence[Mapping[str, Any]],
    error: float | None = None,
) -> MadeBundle:
    """Store the fitted estimator as a verified bundle and return its digest.

    instances: canonical rows, at least one, on which the bundle must answer as the estimator
    does. error: of a regression, the root mean squared one on rows that it did not learn from;
    None where there are none. Raises BundleRefused when no form of it can be served, and
    stores nothing that is ever loaded.
    """
    rows = [dict(instance) for instance in instances]
    rows += probes_of(schema, rows[0])
    columns = schema.columns(rows)
    original = EstimatorRuntime(estimator, classes=tuple(classes))
    expected = original.answer(columns)
    allowed = tolerance(expected, error)
    subject = _Subject(estimator, schema, tuple(classes), columns, expected, allowed)
    form, reason = _best_form(subject)
    if reason:
        logger.info("%s stays a scikit-learn estimator: %s", name, reason)
    smoke = _smoke_rows(rows, len(instances))
    files = {
        form.file_name: form.file,
        bundles.SMOKE: bundles.smoke_of(form.runtime.answer(schema.columns(smoke)), smoke),
    }
    manifest = _manifest(subject, form, name=name, task=task)
    manifest["background"] = background_rows(schema, instances)
    if not classes:
        manifest["spread"] = float(np.std(expected.values[: len(instances)]))
    digest = bundles.write(files, manifest)
    # Loaded once from storage: what a web process will meet has then been met here.
    bundles.load(digest)
    return MadeBundle(digest, form.name, reason)


def _manifest(subject: _Subject, form: _Form, *, name: str, task: str) -> dict[str, Any]:
    return {
        "name": name,
        "task": task,
        "classes": list(subject.classes),
        "features": subject.schema.to_json(),
        "inputs": form.inputs,
        "has_probabilities": subject.expected.probabilities is not None,
        "tolerance": subject.tolerance,
        "runtime": form.name,
        "libraries": {
            "numpy": np.__version__,
            "onnxruntime": onnxruntime.__version__,
            "scikit-learn": sklearn.__version__,
            "skl2onnx": skl2onnx.__version__,
        },
    }


def _best_form(subject: _Subject) -> tuple[_Form, str]:
    try:
        return _as_onnx(subject), ""
    except Inconvertible as why:
        try:
            return _as_estimator(subject), str(why)
        except BundleRefused as refusal:
            raise BundleRefused(
                f"{refusal.detail} (nor can it be a graph: {why})", code=refusal.code
            ) from refusal


def _as_onnx(subject: _Subject) -> _Form:
    """The estimator as a graph that answers alike. Raises Inconvertible where there is none."""
    why = None
    for numbers in NUMBERS:
        try:
            return _as_graph(subject, numbers)
        except Inconvertible as error:
            why = why or error
    raise why or AssertionError


def _as_graph(subject: _Subject, numbers: type) -> _Form:
    try:
        graph, inputs = graph_of(
            subject.estimator,
            subject.rows,
            is_classifier=bool(subject.classes),
            numbers=numbers,
        )
        runtime = OnnxRuntime(
            graph,
            inputs=inputs,
            classes=subject.classes,
            has_probabilities=subject.expected.probabilities is not None,
        )
        given = runtime.answer(subject.rows)
    except Inconvertible:
        raise
    except Exception as error:
        # Converters raise whatever they like, and each of it means the same to us.
        first_line = (str(error).strip() or repr(error)).splitlines()[0]
        raise Inconvertible(f"not convertible to ONNX: {first_line[:300]}") from error
    if (apart := difference(subject.expected, given)) > subject.tolerance:
        raise Inconvertible(
            f"ONNX answers differ from the estimator's by up to {apart:.2g} "
            f"({subject.tolerance:.2g} is allowed)"
        )
    return _Form("onnx", onnx_runtime.FILE, graph, runtime, inputs)


def _as_estimator(subject: _Subject) -> _Form:
    file = estimator_runtime.dumps(subject.estimator)
    runtime = EstimatorRuntime(estimator_runtime.loads(file), classes=subject.classes)
    apart = difference(subject.expected, runtime.answer(subject.rows))
    if apart > subject.tolerance:
        raise BundleRefused(
            f"the estimator, stored and loaded again, answers differently (off by {apart:.2g})",
            code="smoke_failed",
        )
    return _Form("estimator", estimator_runtime.FILE, file, runtime)


def _smoke_rows(rows: Sequence[dict[str, Any]], real: int) -> list[dict[str, Any]]:
    """A few of the rows given, mixed with each other, and a few of the probes after them.

    They travel with the bundle, so none of them is a row of the training data: each feature
    takes its value from another row than the feature before it.
    """
    step = max(1, real // SMOKE_ROWS)
    some = rows[:real:step][:SMOKE_ROWS]
    names = list(dict.fromkeys(name for row in some for name in row))
    mixed = [
        {
            name: row[name]
            for place, name in enumerate(names)
            if name in (row := some[(first + place) % len(some)])
        }
        for first in range(len(some))
    ]
    return [*mixed, *rows[real:][:SMOKE_ROWS]]
