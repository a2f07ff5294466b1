"""Turn a fitted estimator into a bundle: as an ONNX graph when that answers the same.

"The same" is measured, row by row, on the rows given and on probes made to find the known
ways in which the two differ; else the estimator itself goes into the bundle.
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
import skl2onnx
import sklearn
from onnx import ModelProto, TensorProto
from onnx.helper import make_tensor_value_info
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import FeatureUnion, Pipeline

from models_app import bundles
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

# The newest that onnxruntime, skl2onnx and the operators for text agree on.
OPSET = {"": 18, "ai.onnx.ml": 3}
SMOKE_ROWS = 10


@dataclass(frozen=True)
class MadeBundle:
    """A stored, verified bundle. fallback_reason: why it is not ONNX; empty when it is."""

    digest: str
    runtime: str
    fallback_reason: str


class Inconvertible(Exception):
    """ONNX cannot express this estimator truly; the message says where they part."""


@dataclass(frozen=True)
class _Subject:
    """What is being bundled, and the rows on which every form of it must agree."""

    estimator: Any
    schema: Schema
    classes: tuple[str, ...]
    rows: Columns
    expected: Answers


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
) -> MadeBundle:
    """Store the fitted estimator as a verified bundle and return its digest.

    instances: canonical rows, at least one, on which the bundle must answer as the estimator
    does. Raises BundleRefused when no form of it can be served, and stores nothing that is
    ever loaded.
    """
    rows = [dict(instance) for instance in instances]
    rows += probes_of(schema, rows[0])
    columns = schema.columns(rows)
    original = EstimatorRuntime(estimator, classes=tuple(classes))
    subject = _Subject(estimator, schema, tuple(classes), columns, original.answer(columns))
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
        return _as_estimator(subject), str(why)


def _as_onnx(subject: _Subject) -> _Form:
    try:
        graph, inputs = _joined(_convert(subject), list(subject.rows))
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
    if (apart := bundles.disagreement(subject.expected, given)) > bundles.TOLERANCE:
        raise Inconvertible(
            f"ONNX answers differ from the estimator's by up to {apart:.2g} "
            f"({bundles.TOLERANCE} is allowed)"
        )
    return _Form("onnx", onnx_runtime.FILE, graph, runtime, inputs)


def _convert(subject: _Subject) -> ModelProto:
    # A copy, as the vectorizers in it are changed below.
    estimator = deepcopy(subject.estimator)
    options: dict[int, dict[str, Any]] = {}
    if subject.classes:
        options[id(estimator)] = {"zipmap": False}
    for vectorizer in _vectorizers(estimator):
        if vectorizer.lowercase:
            # onnxruntime asks the machine's locale for lower case; many have none.
            raise Inconvertible("a text vectorizer lower-cases, which ONNX leaves to the locale")
        _trim(vectorizer)
        if vectorizer.analyzer == "word":
            options[id(vectorizer)] = {"tokenexp": vectorizer.token_pattern}
    inputs = [
        (name, (StringTensorType if column.dtype == object else FloatTensorType)([None, 1]))
        for name, column in subject.rows.items()
    ]
    with warnings.catch_warnings():
        # That something "may not work" is measured afterwards, row by row.
        warnings.simplefilter("ignore")
        model: ModelProto = skl2onnx.convert_sklearn(
            estimator, name="bundle", initial_types=inputs, options=options, target_opset=OPSET
        )
    return model


def _joined(model: ModelProto, columns: list[str]) -> tuple[bytes, list[list[str]]]:
    """The graph with numbers that it only puts side by side as one input; each input's columns.

    Every input costs microseconds a request, and every number would be one.
    """
    graph = model.graph
    taken_by = Counter(name for node in graph.node for name in node.input)
    column_of = dict(zip((one.name for one in graph.input), columns, strict=True))
    joins = [
        node
        for node in graph.node
        if node.op_type == "Concat" and all(column_of.get(one) for one in node.input)
    ]
    columns_of = {name: [column] for name, column in column_of.items()}
    for node in joins:
        if any(taken_by[name] > 1 for name in node.input):
            continue
        whole = make_tensor_value_info(node.output[0], TensorProto.FLOAT, [None, len(node.input)])
        columns_of[node.output[0]] = [column_of[name] for name in node.input]
        kept = [one for one in graph.input if one.name not in node.input]
        del graph.input[:]
        graph.input.extend([*kept, whole])
        graph.node.remove(node)
    return model.SerializeToString(), [columns_of[one.name] for one in graph.input]


def _trim(vectorizer: CountVectorizer) -> None:
    """Ask only for n-grams as long as any that was found; onnxruntime refuses longer ones."""
    by_word = vectorizer.analyzer == "word"
    lengths = (len(term.split(" ") if by_word else term) for term in vectorizer.vocabulary_)
    shortest, longest = vectorizer.ngram_range
    vectorizer.ngram_range = (shortest, max(shortest, min(longest, max(lengths))))


def _vectorizers(estimator: Any) -> Iterator[CountVectorizer]:
    """The fitted text vectorizers anywhere inside an estimator."""
    if isinstance(estimator, CountVectorizer):
        yield estimator
    elif isinstance(estimator, Pipeline):
        for _, part in estimator.steps:
            yield from _vectorizers(part)
    elif isinstance(estimator, FeatureUnion):
        for _, part in estimator.transformer_list:
            yield from _vectorizers(part)
    elif isinstance(estimator, ColumnTransformer):
        for _, part, _ in estimator.transformers_:
            yield from _vectorizers(part)


def _as_estimator(subject: _Subject) -> _Form:
    file = estimator_runtime.dumps(subject.estimator)
    runtime = EstimatorRuntime(estimator_runtime.loads(file), classes=subject.classes)
    apart = bundles.disagreement(subject.expected, runtime.answer(subject.rows))
    if apart > bundles.TOLERANCE:
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
