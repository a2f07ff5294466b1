"""How good stored answers are: scikit-learn's metrics, and the doubt about a difference."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import get_scorer, get_scorer_names

from models_app.learning.answers import Answers
from models_app.learning.spelling import unknown_name
from models_app.learning.tables import Task, default_metric

REPORTED: dict[str, tuple[str, ...]] = {
    "classification": ("accuracy", "balanced_accuracy", "f1_macro", "neg_log_loss"),
    "regression": ("neg_root_mean_squared_error", "neg_mean_absolute_error", "r2"),
}
# Of the metrics that are not batched below; each resample costs about a millisecond.
_FEWER_RESAMPLES = 200
_CELLS_AT_ONCE = 2_000_000


def answer(estimator: Any, frame: pd.DataFrame, task: Task) -> Answers:
    """What a fitted scikit-learn estimator says about encoded rows."""
    predicted = np.asarray(estimator.predict(frame)).reshape(len(frame))
    if task == "regression":
        return Answers(predicted.astype(np.float64))
    classes = tuple(str(name) for name in getattr(estimator, "classes_", np.unique(predicted)))
    values = np.array([str(value) for value in predicted], dtype=object)
    probabilities = None
    if hasattr(estimator, "predict_proba"):
        probabilities = np.asarray(estimator.predict_proba(frame), dtype=np.float64)
    return Answers(values, probabilities, classes)


def constant_answers(
    train_targets: NDArray[Any], n: int, task: Task, classes: Sequence[str] = ()
) -> Answers:
    """What knowing no feature gives for n rows: the commonest class with its share, or the mean.

    train_targets: shape (m,), m > 0. classes: sorted; by default those of train_targets.
    """
    if task == "regression":
        return Answers(np.full(n, np.mean(train_targets.astype(np.float64))))
    classes = tuple(classes) or tuple(sorted(set(train_targets)))
    shares = np.array([np.mean(train_targets == name) for name in classes])
    values = np.full(n, classes[int(shares.argmax())], dtype=object)
    return Answers(values, np.tile(shares, (n, 1)), classes)


def check_metric(metric: str, task: Task) -> None:
    """Raise ValueError unless `metric` is a scikit-learn scorer that fits the task."""
    asked = _metric(metric)
    if asked.options.get("average") == "samples":
        raise ValueError(f"metric '{metric}' is for rows of several classes at once")
    if asked.family == "cluster":
        raise ValueError(f"metric '{metric}' compares clusterings, not answers with targets")
    if (asked.family == "regression") != (task == "regression"):
        raise ValueError(f"metric '{metric}' does not fit a {task}; try '{default_metric(task)}'")


def is_error(metric: str) -> bool:
    """Whether the scorer is the negative of an error (`neg_…`), best at 0."""
    return _metric(metric).sign < 0


def score(metric: str, targets: NDArray[Any], answers: Answers) -> float:
    """The scorer's value for stored answers; higher is better, NaN where it is undefined.

    targets: shape (n,), n > 0. In two classes the one that sorts last is the positive one.
    Raises ValueError for an unknown scorer, one that needs probabilities that the answers
    lack, and one that cannot count this many classes.
    """
    asked = _metric(metric)
    if asked.family == "regression":
        return asked.value(targets, answers.values)
    classes = sorted({*answers.classes, *targets.tolist(), *answers.values.tolist()})
    # As 0, 1, … the last of two classes is 1, the positive class of every scikit-learn metric.
    code = {name: index for index, name in enumerate(classes)}
    known = np.array([code[name] for name in targets], dtype=np.int64)
    if not asked.wants_probabilities:
        return asked.value(known, np.array([code[name] for name in answers.values]))
    if answers.probabilities is None:
        raise ValueError(f"metric '{metric}' needs probabilities; this estimator gives none")
    spread = np.zeros((len(known), len(classes)))
    spread[:, [code[name] for name in answers.classes]] = answers.probabilities
    positive = spread[:, 1] if len(classes) == 2 else spread
    return asked.value(known, positive, range(len(classes)))


def report(targets: NDArray[Any], answers: Answers, task: Task) -> dict[str, float]:
    """The usual metrics of a task by scorer name; those that the answers allow."""
    metrics = REPORTED[task]
    if answers.probabilities is None:
        metrics = tuple(metric for metric in metrics if metric != "neg_log_loss")
    scores = {metric: score(metric, targets, answers) for metric in metrics}
    return {metric: value for metric, value in scores.items() if np.isfinite(value)}


def paired_bootstrap(
    metric: str,
    targets: NDArray[Any],
    champion: Answers,
    challenger: Answers,
    *,
    resamples: int = 1000,
    seed: int,
) -> tuple[float, float, float]:
    """Challenger's score minus champion's, and the ends of its 90 % two-sided interval.

    Rows are drawn with replacement, the same for both; the interval is the 5th to the 95th
    percentile. Metrics without a batched form get 200 resamples at most.
    Source: Efron & Tibshirani (1993), An Introduction to the Bootstrap, ch. 13; paired over
    rows as in Koehn (2004), EMNLP, 388-395.
    """
    delta = score(metric, targets, challenger) - score(metric, targets, champion)
    batched = _BATCHED.get(metric)
    if batched is None:
        batched, resamples = _one_by_one(metric), min(resamples, _FEWER_RESAMPLES)
    random = np.random.default_rng(seed)
    size = max(1, _CELLS_AT_ONCE // len(targets))
    differences: list[NDArray[np.float64]] = []
    for start in range(0, resamples, size):
        shape = (min(size, resamples - start), len(targets))
        drawn = random.integers(0, len(targets), size=shape)
        differences.append(batched(targets, challenger, drawn) - batched(targets, champion, drawn))
    spread = np.concatenate(differences)
    spread = spread[np.isfinite(spread)]
    if not len(spread):
        return delta, float("nan"), float("nan")
    low, high = np.quantile(spread, (0.05, 0.95))
    return delta, float(low), float(high)


@dataclass(frozen=True, slots=True)
class Metric:
    """A scikit-learn scorer taken apart, since it asks an estimator and we have its answers."""

    function: Callable[..., float]
    sign: int
    options: Mapping[str, Any]
    wants_probabilities: bool

    @property
    def family(self) -> str:
        """ "regression", "classification", "ranking" or "cluster": where scikit-learn has it."""
        return self.function.__module__.split(".")[2].strip("_")

    def value(
        self, known: NDArray[Any], given: NDArray[Any], labels: Iterable[int] | None = None
    ) -> float:
        """The score; labels: the classes, for metrics that else believe in those they see."""
        options = dict(self.options)
        if labels is not None and "labels" in inspect.signature(self.function).parameters:
            options["labels"] = list(labels)
        with warnings.catch_warnings():
            # Where a metric is undefined its value says so.
            warnings.simplefilter("ignore")
            return float(self.sign * self.function(known, given, **options))


def _metric(name: str) -> Metric:
    try:
        scorer = get_scorer(name)
    except ValueError:
        raise ValueError(unknown_name("metric", name, get_scorer_names())) from None
    # Private, but the only place that knows sign and options; a test asks every scorer.
    return Metric(
        scorer._score_func,  # noqa: SLF001
        scorer._sign,  # noqa: SLF001
        scorer._kwargs,  # noqa: SLF001
        scorer._response_method != "predict",  # noqa: SLF001
    )


Batched = Callable[[NDArray[Any], Answers, NDArray[np.int64]], NDArray[np.float64]]


def _one_by_one(metric: str) -> Batched:
    def scores(
        targets: NDArray[Any], answers: Answers, drawn: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        return np.array([score(metric, targets[rows], answers.at(rows)) for rows in drawn])

    return scores


def _accuracy(
    targets: NDArray[Any], answers: Answers, drawn: NDArray[np.int64]
) -> NDArray[np.float64]:
    return np.asarray((targets == answers.values)[drawn].mean(axis=1))


def _balanced_accuracy(
    targets: NDArray[Any], answers: Answers, drawn: NDArray[np.int64]
) -> NDArray[np.float64]:
    right = (targets == answers.values)[drawn]
    recalls = []
    for name in sorted(set(targets.tolist())):
        members = (targets == name)[drawn]
        count = members.sum(axis=1)
        hits = (members & right).sum(axis=1)
        recalls.append(np.divide(hits, count, out=np.full(len(drawn), np.nan), where=count > 0))
    # As scikit-learn: the mean over the classes that the rows hold.
    return np.asarray(np.nanmean(recalls, axis=0))


def _mean_loss(
    loss: Callable[[NDArray[Any]], NDArray[Any]], after: Callable[[NDArray[Any]], NDArray[Any]]
) -> Batched:
    def scores(
        targets: NDArray[Any], answers: Answers, drawn: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        losses = loss(targets.astype(np.float64) - answers.values.astype(np.float64))
        return -after(losses[drawn].mean(axis=1))

    return scores


_BATCHED: dict[str, Batched] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "neg_mean_squared_error": _mean_loss(np.square, np.asarray),
    "neg_root_mean_squared_error": _mean_loss(np.square, np.sqrt),
    "neg_mean_absolute_error": _mean_loss(np.abs, np.asarray),
}
