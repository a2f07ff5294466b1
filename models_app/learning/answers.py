"""What an estimator or a bundle said about some rows, and nothing about how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from models_app.learning.labels import Spellings


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Predictions for n rows, in the order of the rows.

    values: shape (n,); classes as str (dtype object), or float64 in regression.
    probabilities: shape (n, len(classes)), rows summing to 1; None in regression and for
    classifiers that give none. classes: in the order of the columns; empty in regression.
    """

    values: NDArray[Any]
    probabilities: NDArray[Any] | None = None
    classes: tuple[str, ...] = ()

    def at(self, rows: NDArray[Any]) -> Answers:
        """The answers of some rows, by a mask or by indices; indices may repeat."""
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        return Answers(self.values[rows], probabilities, self.classes)

    def spelt(self, classes: Sequence[str]) -> Answers:
        """The answers with classes as `classes` spells them, where one of these is meant.

        A version of before may say `true` where the data is read as True by now.
        """
        known = Spellings(classes)
        names = tuple(map(known.of, self.classes))
        if names == self.classes or len(set(names)) < len(names):
            return self
        values = self.values.copy()
        values[:] = [known.of(value) for value in values]
        return Answers(values, self.probabilities, names)
