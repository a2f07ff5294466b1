"""Answers from an ONNX graph: microseconds a row, and no scikit-learn in the process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models_app.learning.answers import Answers
from models_app.learning.kinds import Columns
from models_app.time_limits import too_slow, watchdog

FILE = "model.onnx"

# A float32 carries seven digits; the rest of its decimals would only be noise in an answer.
_DIGITS = 7


class OnnxRuntime:
    """A graph whose inputs, in its order, each take the columns that `inputs` has for it.

    An input of one column has shape (n, 1); numbers may share one of shape (n, k).
    Its outputs are those of skl2onnx: value first, then probabilities. The latter are read only
    for a classifier that has any, as some graphs give scores of another kind in their place.
    """

    def __init__(
        self,
        graph: bytes,
        *,
        inputs: Sequence[Sequence[str]],
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
        names = [one.name for one in self._session.get_inputs()]
        self._inputs = list(zip(names, inputs, strict=True))
        outputs = [one.name for one in self._session.get_outputs()]
        self._outputs = outputs[: 2 if has_probabilities else 1]
        self._classes = tuple(classes)

    @classmethod
    def load(cls, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> OnnxRuntime:
        return cls(
            files[FILE],
            inputs=manifest["inputs"],
            classes=manifest["classes"],
            has_probabilities=manifest["has_probabilities"],
        )

    def answer(self, columns: Columns, *, within: float | None = None) -> Answers:
        feed = {
            name: _as_input([columns[column] for column in taken]) for name, taken in self._inputs
        }
        outputs = self._run(feed, within)
        if not self._classes:
            return Answers(np.array([_shortest(value) for value in outputs[0].ravel()]))
        values = outputs[0].ravel().astype(object)
        if len(outputs) == 1:
            return Answers(values, None, self._classes)
        probabilities = np.round(outputs[1].astype(np.float64), _DIGITS)
        return Answers(values, probabilities, self._classes)

    def _run(self, feed: dict[str, NDArray[Any]], within: float | None) -> list[NDArray[Any]]:
        if within is None:
            return list(self._session.run(self._outputs, feed))
        options = onnxruntime.RunOptions()
        key = watchdog.watch(options, within)
        try:
            return list(self._session.run(self._outputs, feed, options))
        except Exception:
            # onnxruntime has no error of its own for a run that was told to end.
            if options.terminate:
                raise too_slow(within) from None
            raise
        finally:
            watchdog.forget(key)


def _as_input(columns: list[NDArray[Any]]) -> NDArray[Any]:
    first = columns[0]
    if first.dtype == object:
        return first.reshape(-1, 1)
    return np.array(columns, dtype=np.float32).T


def _shortest(value: np.float32) -> float:
    """The float with the fewest digits that is this float32: 3.4, not 3.4000000953674316."""
    return float(str(value))
