from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import get_scorer, get_scorer_names

from models_app.learning import evaluation, selection, tables
from models_app.learning.answers import Answers
from models_app.learning.tables import Task
from tests.models_app.learning.real_data import prepared


def sayings(*values: str, sure: float = 0.8, classes: str = "ab") -> Answers:
    """Answers of one letter each, with `sure` as the probability of the letter said."""
    rest = (1 - sure) / (len(classes) - 1)
    spread = [[sure if name == value else rest for name in classes] for value in values]
    return Answers(np.array(values, dtype=object), np.array(spread), tuple(classes))


def letters(text: str) -> NDArray[Any]:
    return np.array(list(text), dtype=object)


def coin(targets: NDArray[Any], share_right: float, seed: int) -> Answers:
    """Answers in two classes that are right with the given probability."""
    right = np.random.default_rng(seed).random(len(targets)) < share_right
    other = np.where(targets == "a", "b", "a").astype(object)
    return sayings(*np.where(right, targets, other))


def fits(metric: str, task: Task) -> bool:
    try:
        evaluation.check_metric(metric, task)
    except ValueError:
        return False
    return True


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["breast cancer", "wine", "diabetes"])
def test_every_scorer_says_of_stored_answers_what_it_says_of_the_estimator(name: str) -> None:
    data = prepared(name)
    estimator = "ridge" if data.task == "regression" else "logistic"
    fitted = selection.fit(
        estimator, data.encoded, data.targets, schema=data.schema, task=data.task,
        metric=tables.default_metric(data.task), seed=0,
    ).estimator  # fmt: skip
    answers = evaluation.answer(fitted, data.encoded, data.task)
    classes = sorted(set(data.targets))
    # scikit-learn's own scorers believe in a positive class called 1.
    coded = np.array([classes.index(one) for one in data.targets])
    known = data.targets if data.task == "regression" else coded
    if data.task == "classification":
        fitted.fit(data.encoded, coded)
    for metric in get_scorer_names():
        if not fits(metric, data.task):
            continue
        try:
            expected = get_scorer(metric)(fitted, data.encoded, known)
        except ValueError:
            with pytest.raises(ValueError, match=r"."):
                evaluation.score(metric, data.targets, answers)
            continue
        scored = evaluation.score(metric, data.targets, answers)
        # Ranking metrics ask for decision values, which order rows a hair otherwise.
        assert scored == pytest.approx(expected, abs=1e-3, nan_ok=True), metric


def test_the_class_that_sorts_last_is_the_positive_one() -> None:
    targets, answers = letters("yynn"), sayings("y", "n", "n", "n", classes="ny")

    assert evaluation.score("recall", targets, answers) == 0.5
    assert evaluation.score("precision", targets, answers) == 1.0


def test_a_class_that_the_answers_never_heard_of_counts_as_missed() -> None:
    targets, answers = letters("aabbcc"), sayings("a", "a", "b", "b", "a", "b")

    assert evaluation.score("balanced_accuracy", targets, answers) == pytest.approx(2 / 3)
    assert evaluation.score("neg_log_loss", targets, answers) < -10


def test_a_class_that_the_rows_lack_does_no_harm() -> None:
    answers = sayings("a", "b", "a", "b", classes="abc")

    assert evaluation.score("neg_log_loss", letters("abab"), answers) == pytest.approx(
        math.log(0.8)
    )
    assert evaluation.score("balanced_accuracy", letters("abab"), answers) == 1.0


def test_a_metric_without_an_answer_is_not_a_number() -> None:
    assert math.isnan(evaluation.score("roc_auc", letters("aa"), sayings("a", "a")))


def test_a_metric_of_probabilities_refuses_answers_without_them() -> None:
    with pytest.raises(ValueError, match=r"roc_auc.* needs probabilities"):
        evaluation.score("roc_auc", letters("ab"), Answers(letters("ab"), None, ("a", "b")))


def test_a_metric_of_two_classes_refuses_three() -> None:
    with pytest.raises(ValueError, match="multiclass"):
        evaluation.score("f1", letters("abc"), sayings("a", "b", "c", classes="abc"))


@pytest.mark.parametrize(
    ("metric", "task", "message"),
    [
        ("acuracy", "classification", "did you mean 'accuracy'"),
        ("accuracy", "regression", "does not fit a regression"),
        ("r2", "classification", "does not fit a classification"),
        ("rand_score", "classification", "compares clusterings"),
        ("f1_samples", "classification", "several classes at once"),
    ],
)
def test_a_metric_that_cannot_judge_the_task_is_refused(
    metric: str, task: Task, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        evaluation.check_metric(metric, task)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_default_metric_fits_its_task(task: Task) -> None:
    assert fits(tables.default_metric(task), task)


def test_errors_are_told_from_scores() -> None:
    assert evaluation.is_error("neg_root_mean_squared_error")
    assert not evaluation.is_error("balanced_accuracy")


def test_the_report_leaves_out_what_the_answers_do_not_allow() -> None:
    targets, bare = letters("ab"), Answers(letters("ab"), None, ("a", "b"))

    assert evaluation.report(targets, bare, "classification") == {
        "accuracy": 1.0, "balanced_accuracy": 1.0, "f1_macro": 1.0,
    }  # fmt: skip
    assert "neg_log_loss" in evaluation.report(targets, sayings("a", "b"), "classification")


def test_knowing_nothing_answers_the_commonest_class_or_the_mean() -> None:
    answers = evaluation.constant_answers(letters("aab"), 2, "classification", ("a", "b", "c"))
    mean = evaluation.constant_answers(np.array([1.0, 2.0, 6.0]), 2, "regression")

    assert answers.values.tolist() == ["a", "a"]
    assert answers.probabilities is not None
    np.testing.assert_allclose(answers.probabilities[1], [2 / 3, 1 / 3, 0])
    assert mean.values.tolist() == [3.0, 3.0]


def test_answers_of_an_estimator_are_text_with_probabilities() -> None:
    wine = prepared("wine")
    fitted = selection.fit(
        "logistic", wine.encoded, wine.targets, schema=wine.schema, task=wine.task,
        metric="accuracy", seed=0,
    )  # fmt: skip

    answers = evaluation.answer(fitted.estimator, wine.encoded, wine.task)

    assert answers.classes == ("0", "1", "2")
    assert set(answers.values) == {"0", "1", "2"}
    assert answers.probabilities is not None
    np.testing.assert_allclose(answers.probabilities.sum(axis=1), 1.0)


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "f1_macro", "roc_auc"])
def test_the_interval_holds_the_difference_and_clears_zero_when_it_is_large(metric: str) -> None:
    targets = np.random.default_rng(1).choice(letters("ab"), 400)

    delta, low, high = evaluation.paired_bootstrap(
        metric, targets, coin(targets, 0.6, 2), coin(targets, 0.9, 3), seed=0
    )

    assert 0 < low < delta < high


def test_the_same_answers_differ_by_nothing() -> None:
    targets = letters("ab" * 50)
    answers = coin(targets, 0.7, 5)

    assert evaluation.paired_bootstrap("accuracy", targets, answers, answers, seed=0) == (0, 0, 0)


@pytest.mark.parametrize(
    "metric",
    ["neg_root_mean_squared_error", "neg_mean_squared_error", "neg_mean_absolute_error", "r2"],
)
def test_the_interval_of_a_regression_follows_its_errors(metric: str) -> None:
    random = np.random.default_rng(4)
    targets = random.normal(size=300)
    worse, better = (Answers(targets + width * random.normal(size=300)) for width in (1.0, 0.5))

    delta, low, high = evaluation.paired_bootstrap(metric, targets, worse, better, seed=0)

    assert 0 < low < delta < high


def test_batched_metrics_agree_with_scikit_learn() -> None:
    random = np.random.default_rng(6)
    drawn = random.integers(0, 60, size=(20, 60))
    classes = random.choice(letters("abbb"), 60)
    numbers = random.normal(size=60)
    for metric, batched in evaluation._BATCHED.items():
        regression = evaluation.is_error(metric)
        targets = numbers if regression else classes
        answers = Answers(numbers + 1) if regression else coin(classes, 0.7, 1)
        expected = [evaluation.score(metric, targets[rows], answers.at(rows)) for rows in drawn]
        np.testing.assert_allclose(batched(targets, answers, drawn), expected, err_msg=metric)


def test_one_seed_gives_one_interval() -> None:
    targets = letters("ab" * 100)
    champion, challenger = coin(targets, 0.7, 1), coin(targets, 0.8, 2)

    first, again, other = (
        evaluation.paired_bootstrap("accuracy", targets, champion, challenger, seed=seed)
        for seed in (0, 0, 1)
    )

    assert first == again != other
