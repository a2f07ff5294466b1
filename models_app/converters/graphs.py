"""From a fitted estimator to an ONNX graph, with as few inputs as its columns need."""

from __future__ import annotations

import warnings
from collections import Counter
from copy import deepcopy
from typing import Any

import skl2onnx
from onnx import ModelProto, TensorProto
from onnx.helper import make_tensor_value_info
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    StringTensorType,
    TensorType,
)
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import VotingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC

from models_app.converters.parsing import parsers
from models_app.converters.table import CONVERTERS
from models_app.learning import pipeline
from models_app.learning.kinds import Columns

# The newest that onnxruntime, skl2onnx and the operators for text agree on.
OPSET = {"": 18, "ai.onnx.ml": 3}
# What numbers are taken as; the latter for what ONNX has in float32 only and we do not cast for.
NUMBERS = (DoubleTensorType, FloatTensorType)

_ZIP = {"zipmap": False}


class Inconvertible(Exception):
    """ONNX cannot express this estimator truly; the message says where they part."""


def graph_of(
    fitted: Any, rows: Columns, *, is_classifier: bool, numbers: type[TensorType]
) -> tuple[bytes, list[list[str]]]:
    """The graph of an estimator, and the columns that each of its inputs takes.

    rows: of every column, for its type. numbers: one of NUMBERS. Raises Inconvertible, or
    whatever skl2onnx raises.
    """
    # A copy, as parts of it are changed to what skl2onnx can express.
    estimator = deepcopy(fitted)
    options = _options(estimator, is_classifier=is_classifier)
    with warnings.catch_warnings():
        # That something "may not work" is measured afterwards, row by row.
        warnings.simplefilter("ignore")
        model: ModelProto = skl2onnx.convert_sklearn(
            estimator,
            name="bundle",
            initial_types=_inputs(rows, estimator, numbers),
            options=options,
            target_opset=OPSET,
            custom_conversion_functions=dict(CONVERTERS),
            custom_parsers=parsers(always=not is_classifier),
        )
    return _joined(_with_digits(model), list(rows))


def _inputs(
    rows: Columns, estimator: Any, numbers: type[TensorType]
) -> list[tuple[str, TensorType]]:
    """What the graph takes: each column by its name, or all as one where no part asks for some."""
    kinds = [StringTensorType if one.dtype == object else numbers for one in rows.values()]
    parts = [estimator, *estimator.get_params().values()]
    if StringTensorType in kinds or any(isinstance(one, ColumnTransformer) for one in parts):
        return [(name, kind([None, 1])) for name, kind in zip(rows, kinds, strict=True)]
    return [("rows", numbers([None, len(rows)]))]


def _options(estimator: Any, *, is_classifier: bool) -> dict[int, dict[str, Any]]:
    """What skl2onnx is to know of parts of an estimator, some of which are changed to suit it."""
    options: dict[int, dict[str, Any]] = {}
    if is_classifier:
        last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
        # skl2onnx never zips the scores of a LinearSVC with classes, and has no option for it.
        options = {id(last): {}} if isinstance(last, LinearSVC) else {id(estimator): _ZIP}
        if isinstance(last, VotingClassifier):
            # It says how `transform` gives its answers, which nobody asks for.
            last.flatten_transform = False
    for vectorizer in pipeline.vectorizers(estimator):
        if vectorizer.lowercase:
            # onnxruntime asks the machine's locale for lower case; many have none.
            raise Inconvertible("a text vectorizer lower-cases, which ONNX leaves to the locale")
        _trim(vectorizer)
        if vectorizer.analyzer == "word":
            options[id(vectorizer)] = {"tokenexp": vectorizer.token_pattern}
    return options


def _joined(model: ModelProto, columns: list[str]) -> tuple[bytes, list[list[str]]]:
    """The graph with numbers that it only puts side by side as one input; each input's columns.

    Every input costs microseconds a request, and every number would be one.
    """
    graph = model.graph
    if len(graph.input) == 1 < len(columns):
        return model.SerializeToString(), [columns]
    taken_by = Counter(name for node in graph.node for name in node.input)
    types = {one.name: one.type.tensor_type.elem_type for one in graph.input}
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
        numbers = types[node.input[0]]
        whole = make_tensor_value_info(node.output[0], numbers, [None, len(node.input)])
        columns_of[node.output[0]] = [column_of[name] for name in node.input]
        kept = [one for one in graph.input if one.name not in node.input]
        del graph.input[:]
        graph.input.extend([*kept, whole])
        graph.node.remove(node)
    return model.SerializeToString(), [columns_of[one.name] for one in graph.input]


def _with_digits(model: ModelProto) -> ModelProto:
    """The graph without a last cast to double, after which 3.4 would be 3.4000000953674316."""
    answer = model.graph.output[0]
    maker: dict[str, Any] = {}
    for node in model.graph.node:
        maker |= dict.fromkeys(node.output, node)
    ends = [maker[answer.name]]
    if ends[0].op_type == "Identity":
        ends.append(maker.get(ends[0].input[0]))
    before = maker.get(ends[-1].input[0]) if ends[-1] and ends[-1].op_type == "Cast" else None
    if before is not None and before.op_type == "TreeEnsembleRegressor":
        before.output[0] = answer.name
        for node in ends:
            model.graph.node.remove(node)
        answer.type.tensor_type.elem_type = TensorProto.FLOAT
    return model


def _trim(vectorizer: CountVectorizer) -> None:
    """Ask only for n-grams as long as any that was found; onnxruntime refuses longer ones."""
    by_word = vectorizer.analyzer == "word"
    lengths = (len(term.split(" ") if by_word else term) for term in vectorizer.vocabulary_)
    shortest, longest = vectorizer.ngram_range
    vectorizer.ngram_range = (shortest, max(shortest, min(longest, max(lengths))))
