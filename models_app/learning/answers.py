"""What an estimator or a bundle said about some rows, and nothing about how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Predictions for n rows, in the order of the rows.

    values: shape (n,); classes as str (dtype object), or float64 in regression.
    probabilities: shape (n, len(classes)), rows summing to 1; None in regression and for
    classifiers that give none. classes: sorted as the columns are; empty in regression.
    """

    values: NDArray[Any]
    probabilities: NDArray[Any] | None = None
    classes: tuple[str, ...] = ()

    def at(self, rows: NDArray[Any]) -> Answers:
        """The answers of some rows, by a mask or by indices; indices may repeat."""
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        return Answers(self.values[rows], probabilities, self.classes)
