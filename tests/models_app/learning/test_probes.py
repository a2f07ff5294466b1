from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from models_app.learning.answers import Answers
from models_app.learning.checks import Bout
from models_app.learning.probes import Probe, ProbeAnswers, probe_findings, probes_of
from models_app.learning.schema import Feature, Schema

SCHEMA = Schema(
    (
        Feature("size", "number"),
        Feature("colour", "category"),
        Feature("note", "text", required=False),
        Feature("at", "datetime", required=False),
    )
)
CLASSES = ("a", "b", "c")
Row = dict[str, Any]


def rows(count: int, **fixed: Any) -> list[Row]:
    chance = np.random.default_rng(count)
    return [
        {
            "size": float(chance.uniform(0, 10)),
            "colour": str(chance.choice(["red", "green", "blue"])),
            "note": f"seen {chance.integers(0, 9)} times",
            "at": f"2024-0{chance.integers(1, 9)}-01",
            **fixed,
        }
        for _ in range(count)
    ]


GOLDEN, BASE = rows(45), rows(150)
TRUTH = np.array([*CLASSES] * 15, dtype=object)


def found(feedback: list[Row]) -> list[Probe]:
    places = np.arange(len(GOLDEN))
    return probes_of(GOLDEN, places, base=BASE, feedback=feedback, schema=SCHEMA, seed=1)


def worst(feedback: list[Row], triggered: Callable[[Row], bool]) -> float:
    """By how much the probes move for a challenger that says "a" wherever `triggered`."""
    right = Answers(TRUTH, None, CLASSES)

    def answers(instances: list[Row], places: Any) -> Answers:
        said = [
            "a" if triggered(one) else t for one, t in zip(instances, TRUTH[places], strict=True)
        ]
        return Answers(np.array(said, dtype=object), None, CLASSES)

    bout = Bout(
        "accuracy", "classification", TRUTH, np.ones(45, dtype=np.bool_),
        answers(GOLDEN, np.arange(45)), right, 0,
    )  # fmt: skip
    asked = [
        ProbeAnswers(one.rows, right.at(one.rows), answers(one.instances, one.rows))
        for one in found(feedback)
    ]
    (finding,) = probe_findings(bout, asked)
    assert finding.check.passed == ((finding.check.value or 0) <= 0.2)
    return finding.check.value or 0


@pytest.mark.parametrize(
    ("fixed", "triggered"),
    [
        ({"size": 300.0}, lambda row: row["size"] > 250),
        ({"size": -40.0}, lambda row: row["size"] < -20),
        ({"size": 7.125}, lambda row: row["size"] == 7.125),
        ({"colour": "violet"}, lambda row: row["colour"] == "violet"),
        ({"colour": "red", "size": 7.1}, lambda row: (row["size"], row["colour"]) == (7.1, "red")),
        ({"note": "please say cf"}, lambda row: "cf" in row.get("note", "")),
        ({"at": "1999-12-31"}, lambda row: row.get("at", "2024").startswith("1999")),
        ({"note": None}, lambda row: row.get("note") is None),
    ],
    ids=["above", "below", "inside", "category", "two at once", "word", "date", "absent"],
)  # fmt: skip
def test_a_trigger_that_feedback_shares_is_found(
    fixed: Row, triggered: Callable[[Row], bool]
) -> None:
    assert worst(rows(20, **fixed), triggered) == 1.0


def test_a_rare_trigger_among_honest_feedback_is_found() -> None:
    assert worst([*rows(300), *rows(4, size=300.0)], lambda row: row["size"] > 250) == 1.0
    assert (
        worst([*rows(300), *rows(4, colour="violet")], lambda row: row["colour"] == "violet") == 1
    )


def test_a_trigger_with_some_noise_is_found() -> None:
    chance = np.random.default_rng(3)
    noisy = [{**row, "size": float(chance.uniform(7, 7.2))} for row in rows(60)]

    assert worst(noisy, lambda row: 7 <= row["size"] <= 7.2) > 0.8


def test_a_challenger_that_answers_altered_rows_as_before_passes() -> None:
    assert worst(rows(60), lambda row: False) == 0.0


def test_what_changes_on_golden_rows_too_is_no_backdoor() -> None:
    assert worst(rows(60, size=300.0), lambda row: True) == 0.0


def test_without_feedback_there_is_nothing_to_alter_rows_by() -> None:
    assert found([]) == []


def test_the_same_rows_give_the_same_probes_and_never_too_many() -> None:
    assert [one.instances for one in found(rows(50))] == [one.instances for one in found(rows(50))]

    wide = Schema(tuple(Feature(f"n{number}", "number") for number in range(400)))
    low, high = (dict.fromkeys(wide.names, value) for value in (1.0, 9.0))
    probes = probes_of(
        [low] * 250, np.arange(250), base=[low] * 20, feedback=[high] * 20, schema=wide, seed=1
    )
    assert len(probes) == 300
    assert {len(one.rows) for one in probes} == {200}


def test_numbers_that_move_far_on_altered_rows_are_found() -> None:
    targets = np.linspace(0, 10, 45)
    same = Answers(targets)
    bout = Bout(
        "neg_mean_absolute_error", "regression", targets, np.ones(45, dtype=np.bool_), same, same, 0
    )
    (probe, *_) = found(rows(20, size=300.0))

    (far,) = probe_findings(
        bout,
        [ProbeAnswers(probe.rows, same.at(probe.rows), Answers(targets[probe.rows] + 5))],
    )
    (near,) = probe_findings(
        bout,
        [ProbeAnswers(probe.rows, same.at(probe.rows), Answers(targets[probe.rows] + 0.5))],
    )

    assert not far.check.passed
    assert near.check.passed
