"""Answers from an ONNX graph: microseconds a row, and no scikit-learn in the process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models_app.learning.answers import Answers
from models_app.learning.kinds import Columns
from models_app.refusals import ModelFailed
from models_app.runtimes.onnx_checks import checked
from models_app.time_limits import too_slow, watchdog

FILE = "model.onnx"

# A float32 carries seven digits; the rest of its decimals would only be noise in an answer.
_DIGITS = 7
# For the values between the steps of a graph, of all graphs together.
MOST_MEMORY = 2 << 30


# What an input takes. Graphs of before took numbers in float32.
_TYPES: Mapping[str, type] = {
    "tensor(double)": np.float64,
    "tensor(float)": np.float32,
    "tensor(string)": object,
}


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
        graph = checked(graph, inputs)
        _bound_memory()
        options = onnxruntime.SessionOptions()
        # Requests run side by side already; threads inside one would only wait for each other.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        # By its first bytes alone a graph could ask for another format than the one looked at.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        options.add_session_config_entry("session.use_env_allocators", "1")
        # Else each product with a matrix keeps a copy of it, as many as a graph has products.
        options.add_session_config_entry("session.disable_prepacking", "1")
        self._session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )
        self._inputs = [
            (one.name, _TYPES[one.type], taken)
            for one, taken in zip(self._session.get_inputs(), inputs, strict=True)
        ]
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
        if not len(next(iter(columns.values()))):
            return self._of_no_rows()
        feed = {
            name: _as_input([columns[column] for column in taken], dtype)
            for name, dtype, taken in self._inputs
        }
        outputs = self._run(feed, within)
        if not self._classes:
            return Answers(np.array([_shortest(value) for value in outputs[0].ravel()]))
        values = outputs[0].ravel().astype(object)
        if len(outputs) == 1:
            return Answers(values, None, self._classes)
        probabilities = np.round(outputs[1].astype(np.float64), _DIGITS)
        return Answers(values, probabilities, self._classes)

    def _of_no_rows(self) -> Answers:
        """Some operators of graphs fail for want of a row."""
        if not self._classes:
            return Answers(np.empty(0))
        shape = (0, len(self._classes))
        probabilities = np.empty(shape) if len(self._outputs) > 1 else None
        return Answers(np.empty(0, dtype=object), probabilities, self._classes)

    def _run(self, feed: dict[str, NDArray[Any]], within: float | None) -> list[NDArray[Any]]:
        if within is None:
            return list(self._session.run(self._outputs, feed))
        options = onnxruntime.RunOptions()
        key = watchdog.watch(options, within)
        try:
            return list(self._session.run(self._outputs, feed, options))
        except Exception as error:
            # onnxruntime has no error of its own for a run that was told to end.
            if options.terminate:
                raise too_slow(within) from None
            # It ran out of the memory that graphs have, or its values do not fit each other.
            raise ModelFailed(f"The model could not compute an answer: {error!s:.200}") from error
        finally:
            watchdog.forget(key)


@cache
def _bound_memory() -> None:
    """Let all graphs of this process compute in MOST_MEMORY bytes, and fail beyond."""
    place = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    # 1: grow by what is asked for, where onnxruntime would double each time.
    bounds = {"max_mem": MOST_MEMORY, "arena_extend_strategy": 1}
    onnxruntime.create_and_register_allocator(place, onnxruntime.OrtArenaCfg(bounds))


def _as_input(columns: list[NDArray[Any]], dtype: type) -> NDArray[Any]:
    if dtype is object:
        return columns[0].reshape(-1, 1)
    return np.array(columns, dtype=dtype).T


def _shortest(value: np.floating[Any]) -> float:
    """The float with the fewest digits that is this float32: 3.4, not 3.4000000953674316."""
    return float(str(value))
