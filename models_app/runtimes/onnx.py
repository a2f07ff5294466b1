"""Answers from an ONNX graph: microseconds a row, and no scikit-learn in the process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime

from models_app.learning.answers import Answers
from models_app.learning.kinds import Columns

FILE = "model.onnx"

# A float32 carries seven digits; the rest of its decimals would only be noise in an answer.
_DIGITS = 7


class OnnxRuntime:
    """A graph with one input of shape (n, 1) for each column, in the order of `columns`.

    Its outputs are those of skl2onnx: value first, then probabilities. The latter are read only
    for a classifier that has any, as some graphs give scores of another kind in their place.
    """

    def __init__(
        self,
        graph: bytes,
        *,
        columns: Sequence[str],
        classes: Sequence[str],
        has_probabilities: bool,
    ) -> None:
        options = onnxruntime.SessionOptions()
        # Requests run side by side already; threads inside one would only wait for each other.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )
        inputs = [one.name for one in self._session.get_inputs()]
        self._inputs = list(zip(inputs, columns, strict=True))
        outputs = [one.name for one in self._session.get_outputs()]
        self._outputs = outputs[: 2 if has_probabilities else 1]
        self._classes = tuple(classes)

    @classmethod
    def load(cls, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> OnnxRuntime:
        return cls(
            files[FILE],
            columns=manifest["columns"],
            classes=manifest["classes"],
            has_probabilities=manifest["has_probabilities"],
        )

    def answer(self, columns: Columns) -> Answers:
        feed = {name: _as_input(columns[column]) for name, column in self._inputs}
        outputs = self._session.run(self._outputs, feed)
        if not self._classes:
            return Answers(np.array([_shortest(value) for value in outputs[0].ravel()]))
        values = outputs[0].ravel().astype(object)
        if len(outputs) == 1:
            return Answers(values, None, self._classes)
        probabilities = np.round(outputs[1].astype(np.float64), _DIGITS)
        return Answers(values, probabilities, self._classes)


def _as_input(column: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    column = column.reshape(-1, 1)
    return column if column.dtype == object else column.astype(np.float32)


def _shortest(value: np.float32) -> float:
    """The float with the fewest digits that is this float32: 3.4, not 3.4000000953674316."""
    return float(str(value))
