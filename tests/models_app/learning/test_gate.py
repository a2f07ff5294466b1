from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models_app.learning.answers import Answers
from models_app.learning.checks import Check, Policy
from models_app.learning.gate import Verdict, judge, left_to_a_person
from models_app.learning.golden_checks import Anchor

ROWS = 200
TARGETS = np.array(["a", "b"] * (ROWS // 2), dtype=object)
CONSTANT = Answers(np.full(ROWS, "a", dtype=object), None, ("a", "b"))
NONE_GOLDEN = np.zeros(ROWS, dtype=np.bool_)


def with_errors(rows: NDArray[Any] | Sequence[int]) -> Answers:
    """Answers that are right but for the given rows."""
    values, rows = TARGETS.copy(), np.asarray(rows, dtype=np.intp)
    values[rows] = np.where(TARGETS[rows] == "a", "b", "a")
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


@pytest.mark.parametrize(
    ("golden_rows", "lost", "verdict"),
    [(60, 1, "HOLD"), (60, 2, "HOLD"), (60, 3, "REJECT"), (100, 1, "PROMOTE"), (36, 2, "HOLD")],
)
def test_golden_rows_may_lose_a_hundredth_and_a_person_decides_what_chance_may_explain(
    golden_rows: int, lost: int, verdict: str
) -> None:
    golden = np.arange(ROWS) < golden_rows

    given = verdict_on(with_errors(range(lost)), with_errors(range(130, 190)), is_golden=golden)

    assert given.verdict == verdict
    assert check(given, "golden").limit == -0.01
    assert left_to_a_person(given) == (verdict == "HOLD")


def test_a_gain_that_no_golden_row_shows_is_not_promoted_without_a_person() -> None:
    golden = np.arange(ROWS) < 60
    asked = {"challenger": with_errors([]), "champion": with_errors(range(100, 160))}

    by_hand = verdict_on(**asked, is_golden=golden)
    by_itself = verdict_on(**asked, is_golden=golden, policy=Policy(automatic=True))

    assert by_hand.verdict == "PROMOTE"
    assert (by_itself.verdict, failed(by_itself)) == ("HOLD", {"golden_margin"})
    assert left_to_a_person(by_itself)


def test_a_gain_that_golden_rows_show_is_promoted_without_a_person() -> None:
    golden = np.arange(ROWS) < 60

    verdict = verdict_on(
        with_errors([]), with_errors(range(50, 100)), is_golden=golden,
        policy=Policy(automatic=True),
    )  # fmt: skip

    assert verdict.verdict == "PROMOTE"
    assert check(verdict, "golden_margin").value == pytest.approx(10 / 60)


def test_small_losses_add_up_to_no_more_than_one_small_loss_since_the_first_version() -> None:
    golden = np.arange(ROWS) < 100
    first = Anchor(with_errors([]), np.ones(ROWS, dtype=np.bool_))
    champion = with_errors([0, *range(120, 180)])

    verdict = verdict_on(with_errors([0, 1]), champion, is_golden=golden, anchor=first)

    assert check(verdict, "golden").passed
    assert check(verdict, "anchor").value == pytest.approx(-0.02)
    assert check(verdict, "anchor").limit == -0.01
    assert (verdict.verdict, left_to_a_person(verdict)) == ("HOLD", True)


def test_the_first_version_is_not_asked_about_golden_rows_that_it_trained_on() -> None:
    golden = np.arange(ROWS) < 60
    first = Anchor(with_errors([]), ~golden)

    verdict = verdict_on(
        with_errors([]), with_errors(range(100, 160)), is_golden=golden, anchor=first
    )

    assert "anchor" not in {one.name for one in verdict.checks}


def test_a_class_that_falls_among_golden_rows_alone_is_rejected() -> None:
    golden = np.arange(ROWS) < 60
    lost, won = np.arange(0, 24, 2), np.arange(1, 60, 2)[:15]

    verdict = verdict_on(with_errors(lost), with_errors([*won, *range(60, 120)]), is_golden=golden)

    assert "slices" in failed(verdict)
    assert check(verdict, "slices").value == pytest.approx(12 / 30)


@pytest.mark.parametrize(("lost", "verdict"), [(12, "REJECT"), (2, "PROMOTE")])
def test_a_segment_that_falls_by_more_than_chance_is_rejected(lost: int, verdict: str) -> None:
    golden = np.arange(ROWS) < 160
    members = np.isin(np.arange(ROWS), range(0, 160, 10)) & golden
    challenger = with_errors(np.flatnonzero(members)[:lost])
    champion = with_errors(range(1, 120, 2))

    given = verdict_on(challenger, champion, is_golden=golden, segments={"from the north": members})

    assert given.verdict == verdict
    assert ("segments" in failed(given)) == (verdict == "REJECT")


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


def test_the_first_version_has_no_rival_but_the_constant() -> None:
    better = verdict_on(with_errors(range(40)), None, policy=Policy(min_rows=1000))
    worse = verdict_on(with_errors(range(120)), None)

    assert (better.verdict, failed(better)) == ("PROMOTE", {"min_rows"})
    assert (worse.verdict, failed(worse)) == ("HOLD", {"beats_constant"})
    assert not left_to_a_person(worse)


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


@pytest.mark.parametrize("serves", [True, False])
def test_no_rows_hold(serves: bool) -> None:
    nothing = Answers(TARGETS[:0], None, ("a", "b"))
    empty = {"targets": TARGETS[:0], "is_golden": NONE_GOLDEN[:0], "constant": nothing}

    verdict = verdict_on(nothing, nothing if serves else None, **empty)

    assert verdict.verdict == "HOLD"
    assert not left_to_a_person(verdict)


def test_a_verdict_is_plain_json() -> None:
    golden = np.arange(ROWS) < 60
    verdict = verdict_on(with_errors(range(5)), with_errors(range(40)), is_golden=golden)

    assert json.loads(json.dumps(asdict(verdict), allow_nan=False))["verdict"] == "PROMOTE"
