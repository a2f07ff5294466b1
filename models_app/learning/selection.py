"""Fitting a named estimator, or the best of the catalogue by cross-validation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from models_app.learning import evaluation, pipeline
from models_app.learning.schema import Schema
from models_app.learning.tables import Task

OnProgress = Callable[[str, int, int], None]
Fold = tuple[NDArray[np.intp], NDArray[np.intp]]

# The search is bounded by work and not by the clock: the same rows give the same estimator on
# a slow machine. A unit is one number looked at once by one tree or for one class.
MOST_SEARCH_ROWS = 5_000
LARGE_WORK = 500_000
HUGE_WORK = 5_000_000


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted pipeline, and how it was chosen.

    name: of the catalogue, or a dotted path. parameters: what was set besides defaults.
    cross_validated: mean score over the folds, higher is better; None without a search.
    """

    estimator: Pipeline
    name: str
    parameters: dict[str, Any]
    cross_validated: float | None


@dataclass(frozen=True, slots=True)
class Lesson:
    """Encoded rows to learn from: frame of n rows, targets and weight of shape (n,)."""

    frame: pd.DataFrame
    targets: NDArray[Any]
    weight: NDArray[np.float64] | None
    schema: Schema
    task: Task
    seed: int

    def at(self, rows: NDArray[np.intp]) -> Lesson:
        """The lesson of some rows."""
        weight = None if self.weight is None else self.weight[rows]
        frame = self.frame.iloc[rows].reset_index(drop=True)
        return Lesson(frame, self.targets[rows], weight, self.schema, self.task, self.seed)

    def fit(self, name: str, parameters: Mapping[str, Any]) -> Pipeline:
        """A new pipeline that learnt all of it."""
        made = pipeline.build(
            name, schema=self.schema, task=self.task, seed=self.seed, parameters=parameters
        )
        if self.weight is None:
            return made.fit(self.frame, self.targets)
        if not pipeline.takes_weights(made):
            raise ValueError(
                f"estimator '{name}' cannot weigh its training rows. Leave feedback.weight at 1, "
                "or choose another estimator."
            )
        key = f"{made.steps[-1][0]}__sample_weight"
        return made.fit(self.frame, self.targets, **{key: self.weight})


def _unseen(*_: object) -> None:
    """Progress that nobody watches."""


def fit(
    estimator: str,
    frame: pd.DataFrame,
    targets: NDArray[Any],
    *,
    schema: Schema,
    task: Task,
    metric: str,
    seed: int,
    sample_weight: NDArray[np.float64] | None = None,
    on_progress: OnProgress = _unseen,
) -> Fitted:
    """Fit `estimator` on encoded rows, or with "auto" the best of a bounded search.

    frame: n rows of `tables.encode`. targets, sample_weight: shape (n,). on_progress: step,
    done, total. The same arguments give the same answers. Raises ValueError for an unknown
    estimator, a class alone, and weights that the estimator cannot take.
    """
    if task == "classification" and len(set(targets.tolist())) < 2:
        raise ValueError(
            f"every row has the same target '{targets[0]}': there is nothing to learn. Give rows "
            "with other answers."
        )
    if sample_weight is not None and np.all(sample_weight == 1.0):
        sample_weight = None
    lesson = Lesson(frame, targets, sample_weight, schema, task, seed)
    # Threads that wait for each other made small fits a hundred times slower on busy cores.
    with threadpool_limits(1 if _work(lesson) <= HUGE_WORK else None):
        name, parameters, cross_validated = estimator, dict[str, Any](), None
        if estimator == pipeline.AUTO:
            name, parameters, cross_validated = _search(lesson, metric, on_progress)
        on_progress("fitting", 0, 1)
        fitted = pipeline.with_plain_vocabularies(lesson.fit(name, parameters))
    on_progress("fitting", 1, 1)
    return Fitted(fitted, name, parameters, cross_validated)


def _search(
    lesson: Lesson, metric: str, on_progress: OnProgress
) -> tuple[str, dict[str, Any], float | None]:
    """The candidate with the best mean score; the first, which is the simplest, in a tie."""
    lesson = _bounded(lesson)
    candidates = _candidates(lesson)
    folds = _folds(lesson)
    if not folds:
        return (*candidates[0], None)
    means: list[float] = []
    total = len(candidates) * len(folds)
    for name, parameters in candidates:
        scores: list[float] = []
        for fold in folds:
            on_progress("searching", len(means) * len(folds) + len(scores), total)
            scores.append(_fold_score(lesson, name, parameters, metric, fold))
        means.append(float(np.mean(scores)))
    on_progress("searching", total, total)
    # A metric that some fold leaves undefined says nothing for that candidate.
    ranked = np.nan_to_num(np.array(means), nan=-np.inf)
    best = int(ranked.argmax())
    mean = means[best] if np.isfinite(means[best]) else None
    return (*candidates[best], mean)


def _fold_score(
    lesson: Lesson, name: str, parameters: Mapping[str, Any], metric: str, fold: Fold
) -> float:
    train, test = (lesson.at(rows) for rows in fold)
    with warnings.catch_warnings():
        # A fold may lack a rare class or a candidate may not converge: the score says so.
        warnings.simplefilter("ignore")
        fitted = train.fit(name, parameters)
        answers = evaluation.answer(fitted, test.frame, lesson.task)
        return evaluation.score(metric, test.targets, answers)


def _bounded(lesson: Lesson) -> Lesson:
    if len(lesson.targets) <= MOST_SEARCH_ROWS:
        return lesson
    drawn = np.random.default_rng(lesson.seed).permutation(len(lesson.targets))
    return lesson.at(np.sort(drawn[:MOST_SEARCH_ROWS]))


def _folds(lesson: Lesson) -> list[Fold]:
    """3 to 5 folds, stratified by class; none when a class or all rows are too few."""
    rows = len(lesson.targets)
    wanted = 5 if _work(lesson) < LARGE_WORK // 5 else 3
    splitter: KFold | StratifiedKFold
    if lesson.task == "regression":
        if rows < 2 * wanted:
            return []
        splitter = KFold(wanted, shuffle=True, random_state=lesson.seed)
    else:
        _, sizes = np.unique(lesson.targets.astype(str), return_counts=True)
        if sizes.max() < wanted:
            return []
        splitter = StratifiedKFold(wanted, shuffle=True, random_state=lesson.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class of fewer rows than folds
        folds = list(splitter.split(np.zeros(rows), lesson.targets))
    # Without the only row of its second class a fold has nothing to tell apart.
    return [fold for fold in folds if len(set(lesson.targets[fold[0]].tolist())) > 1]


def _candidates(lesson: Lesson) -> list[tuple[str, dict[str, Any]]]:
    """The catalogue's grids, simplest first; of large sets the first of each, or the linear."""
    return list(_within(_work(lesson), lesson.task))


def _within(work: int, task: Task) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, entry in pipeline.CATALOGUE.items():
        # Ridge as a classifier gives no probabilities, which people want to see.
        if task not in entry.makers or (name, task) == ("ridge", "classification"):
            continue
        if work > HUGE_WORK and not entry.linear:
            continue
        most = len(entry.grid) if entry.linear or work <= LARGE_WORK else 1
        yield from ((name, dict(parameters)) for parameters in entry.grid[:most])


def _work(lesson: Lesson) -> int:
    """Rows times columns after encoding, times classes."""
    width = 0
    for feature in lesson.schema.features:
        width += {
            "text": 2 * pipeline.NARROW_TEXT,
            "category": max(1, len(feature.categories)),
        }.get(feature.kind, len(feature.column_names))
    classes = len(set(lesson.targets.tolist())) if lesson.task == "classification" else 1
    return len(lesson.targets) * width * classes
