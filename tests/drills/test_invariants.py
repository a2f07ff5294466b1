"""The checker itself: it finds nothing in a sound world, and each violation that is planted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.drills.history import Exchange
from tests.drills.invariants import nothing_private_is_logged, recovery_times, violations
from tests.drills.tables import Tables
from tests.instance import Instance

GATE = {"verdict": "PROMOTE", "against": 1}


def predicted(mark: str, *, sent: float, generation: int = 1, connection: str = "a") -> Exchange:
    given = {"id": f"id-{mark}", "value": "oak"}
    answer = {
        "model": "leaves", "version": generation, "generation": generation, "predictions": [given],
    }  # fmt: skip
    asked = {"instances": [{"length": 9.0}], "subject": mark}
    return Exchange("predict", mark, asked, sent, sent + 0.1, 200, answer, {}, connection)


def logged(exchange: Exchange) -> dict[str, Any]:
    answer = exchange.answer
    return {
        "id": answer["predictions"][0]["id"], "generation": answer["generation"],
        "value": "oak", "input": {"length": 9.0}, "mark": exchange.mark,
        "model": "leaves", "number": answer["version"],
    }  # fmt: skip


def line(generation: int, at: float, **changed: Any) -> dict[str, Any]:
    return {
        "generation": generation, "action": "promote", "override": False, "at": at,
        "model": "leaves", "number": generation, "gate": GATE if generation > 1 else
        {"verdict": "PROMOTE", "against": None}, "bundle": f"digest {generation}",
        "previous_number": generation - 1 or None, **changed,
    }  # fmt: skip


class World:
    """Three predictions over two generations, one feedback, one run: all as it should be."""

    def __init__(self) -> None:
        asked = {"prediction": "id-p1", "value": "oak", "comment": "f1"}
        stored = {"id": "fid", "status": "accepted"}
        self.history = [
            predicted("p1", sent=10),
            predicted("p2", sent=30, generation=2),
            predicted("p3", sent=40, generation=2, connection="b"),
            Exchange("predict", "lost", {}, 50, 51),
            Exchange("feedback", "f1", asked, 11, 12),
            Exchange("feedback", "f1", asked, 12, 13, 201, stored),
        ]
        self.tables = Tables(
            now=100.0,
            models=[{"name": "leaves", "generation": 2, "serves": 2}],
            deployments=[line(1, 5.0), line(2, 28.0)],
            predictions=[logged(one) for one in self.history[:3]],
            feedback=[{"id": "fid", "value": "oak", "prediction_id": "id-p1", "mark": "f1"}],
            runs=[
                {
                    "id": 1, "status": "succeeded", "attempts": 4, "waits": 2, "model": "leaves",
                    "leased_until": None, "not_before": 1.0, "handed_over_at": None,
                }
            ],
        )  # fmt: skip

    def found(self) -> list[str]:
        return violations(self.history, self.tables)

    def change(self, index: int, **changed: Any) -> None:
        self.history[index] = replace(self.history[index], **changed)

    def add_run(self, **changed: Any) -> None:
        self.tables.runs.append({**self.tables.runs[0], **changed})


def test_a_sound_world_breaks_nothing() -> None:
    assert World().found() == []


Plant = Callable[[World], Any]

PLANTED: dict[str, tuple[Plant, str]] = {
    "a lost prediction": (lambda w: w.tables.predictions.pop(0), "id-p1 was answered and is not"),
    "a row of another generation": (
        lambda w: w.tables.predictions[0].update(generation=2), "prediction id-p1: answered",
    ),
    "a row of another input": (
        lambda w: w.tables.predictions[0].update(input={}), "prediction id-p1: asked",
    ),
    "a prediction stored twice": (
        lambda w: w.tables.predictions.append({**w.tables.predictions[0], "id": "other"}),
        "predict p1 was answered {200} and is stored 2 times",
    ),
    "a refused prediction that is stored": (
        lambda w: w.change(0, status=503, headers={"retry-after": "1"}, answer={}),
        "predict p1 was answered {503} and is stored 1 times",
    ),
    "an unknown prediction stored twice": (
        lambda w: w.tables.predictions.extend([{"id": "x", "mark": "lost"}] * 2),
        "predict lost was answered {0} and is stored 2 times",
    ),
    "lost feedback": (lambda w: w.tables.feedback.clear(), "fid was answered and is not stored"),
    "feedback of another value": (
        lambda w: w.tables.feedback[0].update(value="elm"), "feedback fid: sent",
    ),
    "a retry that was stored again": (
        lambda w: w.tables.feedback.append({**w.tables.feedback[0], "id": "twin"}),
        "feedback f1 was answered",
    ),
    "two answers for one key": (
        lambda w: w.history.append(replace(w.history[5], answer={"id": "fid", "status": "x"})),
        "key f1 was answered",
    ),
    "a gap in the ledger": (
        lambda w: w.tables.deployments[1].update(generation=3), "its ledger has [1, 3]",
    ),
    "a model that is not where its ledger is": (
        lambda w: w.tables.models[0].update(generation=3), "leaves is at",
    ),
    "a generation without a bundle": (
        lambda w: w.tables.deployments[0].update(bundle=""), "generation 1 names no bundle",
    ),
    "a ledger rewritten in the middle": (
        lambda w: w.tables.deployments[1].update(previous_number=7), "2 does not follow",
    ),
    "a version that the ledger does not know": (
        lambda w: w.change(2, answer={**w.history[2].answer, "generation": 9}),
        "version 2 as generation 9 is not in the ledger",
    ),
    "an answer from before the promotion": (
        lambda w: w.change(1, sent=20.0, ended=20.1), "version 2 as generation 2 is not",
    ),
    "a process that goes back": (
        lambda w: w.history.append(predicted("p4", sent=31, generation=1)),
        "a answered generation 1 after 2",
    ),
    "a process that does not follow": (
        lambda w: w.history.append(predicted("p4", sent=34, connection="c")),
        "generation 1 was answered 6.0 s after the next one",
    ),
    "two active runs": (
        lambda w: w.tables.runs.extend(
            [{**w.tables.runs[0], "status": "queued", "not_before": 99.0}] * 2
        ),
        "leaves has 2 active runs",
    ),
    "too many attempts": (lambda w: w.add_run(id=2, attempts=6), "run 2 had 4 attempts"),
    "an abandoned run": (
        lambda w: w.add_run(id=2, status="running", leased_until=5.0), "nobody takes it up",
    ),
    "a promotion without a gate": (
        lambda w: w.tables.deployments[1].update(gate=None), "generation 2 was promoted on {}",
    ),
    "a stale evaluation": (
        lambda w: w.tables.deployments[1].update(gate={**GATE, "against": 7}), "was promoted on",
    ),
    "a page instead of JSON": (
        lambda w: w.history.append(Exchange("predict", "x", {}, 60, 61, 500, "<html>")),
        "predict was answered 500 and no JSON",
    ),
    "an error of ours": (
        lambda w: w.history.append(Exchange("predict", "x", {}, 60, 61, 500, {"type": "e"})),
        "predict was answered 500: ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("planted", PLANTED)
def test_what_is_planted_is_found(planted: str) -> None:
    plant, said = PLANTED[planted]
    world = World()

    plant(world)

    assert any(said in why for why in world.found()), world.found()


def test_a_key_or_a_subject_in_a_log_is_found(tmp_path) -> None:
    instance = Instance(tmp_path)
    instance.key = "abc.DEF-1"
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "web.log"
    log.write_text("GET /ready 200\n")
    history = [predicted("p1", sent=1)]
    assert list(nothing_private_is_logged(instance, history)) == []

    log.write_text('header "Bearer abc.DEF-1"\nsubject=p1\n')

    assert len(list(nothing_private_is_logged(instance, history))) == 2


def test_recovery_is_measured_to_the_first_answer_to_what_was_sent_after_the_fault() -> None:
    history = [predicted("p1", sent=10), predicted("p2", sent=14), predicted("p3", sent=12)]

    assert recovery_times(history, [11.0]) == [pytest.approx(1.1)]
