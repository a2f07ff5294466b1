from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models_app.learning.answers import Answers
from models_app.learning.gate import Check, Policy, Verdict, judge

ROWS = 200
TARGETS = np.array(["a", "b"] * (ROWS // 2), dtype=object)
CONSTANT = Answers(np.full(ROWS, "a", dtype=object), None, ("a", "b"))
NONE_GOLDEN = np.zeros(ROWS, dtype=np.bool_)


def with_errors(rows: NDArray[Any] | range) -> Answers:
    """Answers that are right but for the given rows."""
    values = TARGETS.copy()
    values[list(rows)] = np.where(TARGETS[list(rows)] == "a", "b", "a")
    return Answers(values, None, ("a", "b"))


def verdict_on(challenger: Answers, champion: Answers | None, **changes: Any) -> Verdict:
    asked: dict[str, Any] = {
        "metric": "accuracy",
        "task": "classification",
        "targets": TARGETS,
        "is_golden": NONE_GOLDEN,
        "constant": CONSTANT,
        "policy": Policy(),
        "seed": 0,
    }
    return judge(challenger=challenger, champion=champion, **{**asked, **changes})


def check(verdict: Verdict, name: str) -> Check:
    (found,) = (one for one in verdict.checks if one.name == name)
    return found


def failed(verdict: Verdict) -> set[str]:
    return {one.name for one in verdict.checks if not one.passed}


def regression(
    champion_error: float, challenger_error: float, policy: Policy | None = None
) -> Verdict:
    targets = np.arange(100.0)
    return judge(
        metric="neg_root_mean_squared_error",
        task="regression",
        targets=targets,
        is_golden=np.zeros(100, dtype=np.bool_),
        challenger=Answers(targets + challenger_error),
        champion=Answers(targets + champion_error),
        constant=Answers(np.full(100, 50.0)),
        policy=policy or Policy(),
        seed=0,
    )


def test_a_clearly_better_challenger_is_promoted() -> None:
    verdict = verdict_on(with_errors(range(5)), with_errors(range(40)))

    assert verdict.verdict == "PROMOTE"
    assert {one.name for one in verdict.checks} == {
        "finite", "min_rows", "beats_constant", "margin", "interval", "slices",
    }  # fmt: skip


def test_a_tie_keeps_the_champion_even_without_a_margin() -> None:
    tied = with_errors(range(20))

    verdict = verdict_on(tied, tied, policy=Policy(margin=0.0))

    assert verdict.verdict == "REJECT"
    assert failed(verdict) == {"margin"}


def test_a_gain_below_the_margin_is_rejected() -> None:
    verdict = verdict_on(with_errors(range(10)), with_errors(range(14)), policy=Policy(0.05))

    assert verdict.verdict == "REJECT"
    assert check(verdict, "margin").value == pytest.approx(0.02)
    assert check(verdict, "margin").limit == 0.05


def test_a_gain_of_exactly_the_margin_is_enough() -> None:
    champion, challenger = with_errors(range(40)), with_errors(range(20))

    assert check(verdict_on(challenger, champion, policy=Policy(0.1)), "margin").passed


def test_a_gain_that_may_be_chance_holds() -> None:
    verdict = verdict_on(with_errors(range(20)), with_errors(range(18, 42)))

    assert verdict.verdict == "HOLD"
    assert failed(verdict) == {"interval"}


def test_too_few_rows_hold() -> None:
    verdict = verdict_on(with_errors(range(5)), with_errors(range(40)), policy=Policy(min_rows=201))

    assert verdict.verdict == "HOLD"
    assert check(verdict, "min_rows") == Check("min_rows", False, 200.0, 201.0)


def test_a_challenger_that_knows_less_than_nothing_is_rejected() -> None:
    verdict = verdict_on(with_errors(range(120)), with_errors(range(180)))

    assert verdict.verdict == "REJECT"
    assert "beats_constant" in failed(verdict)


def test_a_challenger_that_is_worse_on_golden_rows_is_rejected() -> None:
    golden = np.arange(ROWS) < 60

    verdict = verdict_on(with_errors(range(30)), with_errors(range(60, 160)), is_golden=golden)

    assert verdict.verdict == "REJECT"
    assert "golden" in failed(verdict)


@pytest.mark.parametrize(("lost", "passed"), [(1, True), (3, False)])
def test_golden_rows_forgive_one_lost_row_and_no_more_than_chance(lost: int, passed: bool) -> None:
    golden = np.arange(ROWS) < 60

    verdict = verdict_on(with_errors(range(lost)), with_errors(range(100, 160)), is_golden=golden)

    assert check(verdict, "golden").passed == passed


def test_a_class_that_is_recalled_much_less_is_rejected() -> None:
    evens, odds = np.arange(0, ROWS, 2), np.arange(1, ROWS, 2)

    verdict = verdict_on(with_errors(evens[:15]), with_errors(odds[:80]))

    assert verdict.verdict == "REJECT"
    assert failed(verdict) == {"slices"}
    assert check(verdict, "slices").value == pytest.approx(0.15)


def test_a_recall_that_falls_by_just_the_limit_passes() -> None:
    evens, odds = np.arange(0, ROWS, 2), np.arange(1, ROWS, 2)

    verdict = verdict_on(with_errors(evens[:10]), with_errors(odds[:80]))

    assert verdict.verdict == "PROMOTE"


def test_a_class_of_few_rows_is_no_slice() -> None:
    targets = np.array(["a"] * 191 + ["b"] * 9, dtype=object)
    challenger = Answers(np.full(ROWS, "a", dtype=object), None, ("a", "b"))
    champion = Answers(np.roll(targets, 60), None, ("a", "b"))

    assert check(verdict_on(challenger, champion, targets=targets), "slices").passed


def test_the_margin_of_an_error_is_a_share_of_the_champions() -> None:
    verdict = regression(champion_error=10.0, challenger_error=9.4, policy=Policy(margin=0.05))

    assert verdict.verdict == "PROMOTE"
    assert check(verdict, "margin").value == pytest.approx(0.6)
    assert check(verdict, "margin").limit == pytest.approx(0.5)
    assert regression(10.0, 9.6, Policy(margin=0.05)).verdict == "REJECT"


def test_a_champion_without_error_stays() -> None:
    assert regression(champion_error=0.0, challenger_error=0.0).verdict == "REJECT"


def test_the_first_version_is_promoted_whatever_the_checks_report() -> None:
    verdict = verdict_on(with_errors(range(120)), None, policy=Policy(min_rows=1000))

    assert verdict.verdict == "PROMOTE"
    assert failed(verdict) == {"beats_constant", "min_rows"}


@pytest.mark.parametrize("champion", [None, with_errors(range(40))])
def test_answers_that_are_not_finite_are_rejected(champion: Answers | None) -> None:
    spread = np.full((ROWS, 2), 0.5)
    spread[7, 0] = np.nan

    verdict = verdict_on(Answers(TARGETS, spread, ("a", "b")), champion)

    assert verdict.verdict == "REJECT"
    assert check(verdict, "finite") == Check("finite", False, 1.0, 0.0)


def test_a_metric_that_is_undefined_on_the_rows_is_rejected_and_kept_as_null() -> None:
    sure = Answers(np.full(ROWS, "a", dtype=object), np.tile([0.9, 0.1], (ROWS, 1)), ("a", "b"))

    verdict = verdict_on(sure, sure, metric="roc_auc", targets=sure.values, constant=sure)

    assert verdict.verdict == "REJECT"
    assert check(verdict, "margin").value is None


def test_no_rows_hold_unless_nothing_serves_yet() -> None:
    nothing = Answers(TARGETS[:0], None, ("a", "b"))
    empty = {"targets": TARGETS[:0], "is_golden": NONE_GOLDEN[:0], "constant": nothing}

    assert verdict_on(nothing, nothing, **empty).verdict == "HOLD"
    assert verdict_on(nothing, None, **empty).verdict == "PROMOTE"


def test_a_verdict_is_plain_json() -> None:
    golden = np.arange(ROWS) < 60
    verdict = verdict_on(with_errors(range(5)), with_errors(range(40)), is_golden=golden)

    assert json.loads(json.dumps(asdict(verdict), allow_nan=False))["verdict"] == "PROMOTE"
