"""What must be true whatever was killed: a history of clients, held against the tables.

Each function below is one invariant and yields a sentence for every place that breaks it.
"""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from feedback_app.retraining import MAX_ATTEMPTS
from tests.drills import tables as reading
from tests.drills.history import Exchange
from tests.drills.tables import Row, Tables
from tests.instance import Instance, wait_for

FOLLOWED_WITHIN = 5.0
STARTED_WITHIN = 90.0
ACTIVE = ("queued", "running")
# Feedback is answered 200 when it is sent again under the key of one that was stored.
SUCCESS = {"predict": (200,), "feedback": (200, 201)}


def check(instance: Instance, history: Iterable[Exchange], *, within: float = 120.0) -> Tables:
    """Fail unless all invariants hold; the tables, for what else there is to ask of them."""
    found, broken = examine(instance, history, within=within)
    assert not broken, "\n".join(broken[:20])
    return found


def examine(
    instance: Instance, history: Iterable[Exchange], *, within: float
) -> tuple[Tables, list[str]]:
    """Wait until no run is under way; the tables then, and every violation.

    To be asked when the clients have ended: what they do meanwhile would be in one place only.
    """
    found = reading.read(instance)

    def quiet() -> bool:
        nonlocal found
        found = reading.read(instance)
        return not any(run["status"] in ACTIVE for run in found.runs)

    wait_for(quiet, within)
    exchanges = list(history)
    private = nothing_private_is_logged(instance, exchanges)
    return found, [*violations(exchanges, found), *private]


def violations(history: Iterable[Exchange], tables: Tables) -> list[str]:
    """Every place where history and tables, or the tables alone, break an invariant."""
    exchanges = list(history)
    with_history: tuple[Callable[[list[Exchange], Tables], Iterator[str]], ...] = (
        answered_predictions_are_logged, answered_feedback_is_stored, nothing_is_stored_twice,
        one_key_has_one_answer, served_generations_are_the_ledgers, answers_are_in_shape,
    )  # fmt: skip
    of_tables = (the_ledger_has_no_gap, promotions_passed_their_gate, runs_end)
    found = [why for invariant in with_history for why in invariant(exchanges, tables)]
    return found + [why for invariant in of_tables for why in invariant(tables)]


def answered_predictions_are_logged(history: list[Exchange], tables: Tables) -> Iterator[str]:
    """1. Every prediction answered 200 has one row, which says what was answered."""
    rows = {row["id"]: row for row in tables.predictions}
    for exchange in _succeeded(history, "predict"):
        answer = exchange.answer
        for instance, given in zip(exchange.asked["instances"], answer["predictions"], strict=True):
            row = rows.get(given["id"])
            if row is None:
                yield f"prediction {given['id']} was answered and is not in the log"
                continue
            said = (answer["model"], answer["version"], answer["generation"], given["value"])
            if said != (row["model"], row["number"], row["generation"], row["value"]):
                yield f"prediction {given['id']}: answered {said}, logged {row}"
            if row["input"] != instance:
                yield f"prediction {given['id']}: asked {instance}, logged {row['input']}"


def answered_feedback_is_stored(history: list[Exchange], tables: Tables) -> Iterator[str]:
    """1. Every feedback answered 201 has one row, which says what was sent."""
    rows = {row["id"]: row for row in tables.feedback}
    for exchange in _succeeded(history, "feedback"):
        row, asked = rows.get(exchange.answer["id"]), exchange.asked
        if row is None:
            yield f"feedback {exchange.answer['id']} was answered and is not stored"
        elif (row["prediction_id"], row["value"]) != (asked["prediction"], asked["value"]):
            yield f"feedback {row['id']}: sent {asked}, stored {row}"


def nothing_is_stored_twice(history: list[Exchange], tables: Tables) -> Iterator[str]:
    """1, 2. What one request makes, retries included, exists once; 0 or 1 times when unknown."""
    for kind, rows in (("predict", tables.predictions), ("feedback", tables.feedback)):
        stored = Counter(row["mark"] for row in rows)
        by_mark = _by_mark(exchange for exchange in history if exchange.kind == kind)
        for mark, tries in by_mark.items():
            statuses = {one.status for one in tries}
            at_most = 1 if statuses & {0, 200, 201} else 0
            if stored[mark] > at_most:
                yield f"{kind} {mark} was answered {statuses} and is stored {stored[mark]} times"


def one_key_has_one_answer(history: list[Exchange], tables: Tables) -> Iterator[str]:
    """2. One idempotency key never has two bodies of success."""
    for mark, tries in _by_mark(one for one in history if one.kind == "feedback").items():
        answers = {str(one.answer) for one in tries if one.status in (200, 201)}
        if len(answers) > 1:
            yield f"key {mark} was answered {' and '.join(sorted(answers))}"


def the_ledger_has_no_gap(tables: Tables) -> Iterator[str]:
    """3. Generations are 1, 2, 3 …, each of one bundle; the last is what the model serves."""
    for model in tables.models:
        lines = _ledger(tables, model["name"])
        if [line["generation"] for line in lines] != list(range(1, len(lines) + 1)):
            yield f"{model['name']}: its ledger has {[line['generation'] for line in lines]}"
        head = (lines[-1]["generation"], lines[-1]["number"]) if lines else (0, None)
        if head != (model["generation"], model["serves"]):
            yield f"{model['name']} is at {model}, its ledger at {head}"
        for line in lines:
            if not line["bundle"]:
                yield f"{model['name']} generation {line['generation']} names no bundle"
        for before, after in pairwise(lines):
            if after["previous_number"] != before["number"] or after["at"] < before["at"]:
                yield f"{model['name']} generation {after['generation']} does not follow {before}"


def served_generations_are_the_ledgers(history: list[Exchange], tables: Tables) -> Iterator[str]:
    """5. An answer names a line of the ledger; a process never goes back, and follows in 5 s."""
    lines = {(line["model"], line["generation"]): line for line in tables.deployments}
    reached: dict[str, int] = {}
    for exchange in sorted(_succeeded(history, "predict"), key=lambda one: one.sent):
        answer = exchange.answer
        model, generation = answer["model"], answer["generation"]
        line = lines.get((model, generation))
        if line is None or line["number"] != answer["version"] or line["at"] > exchange.ended:
            yield f"version {answer['version']} as generation {generation} is not in the ledger"
        before = reached.get(exchange.connection, 0)
        if generation < before:
            yield f"{exchange.connection} answered generation {generation} after {before}"
        reached[exchange.connection] = generation
        newer = lines.get((model, generation + 1))
        if newer and newer["at"] + FOLLOWED_WITHIN < exchange.sent:
            late = exchange.sent - newer["at"]
            yield f"generation {generation} was answered {late:.1f} s after the next one"


def runs_end(tables: Tables) -> Iterator[str]:
    """4, 6. At most one run of a model is active, in few attempts, and none is left lying."""
    active = Counter(run["model"] for run in tables.runs if run["status"] in ACTIVE)
    for model, count in active.items():
        if count > 1:
            yield f"{model} has {count} active runs"
    for run in tables.runs:
        halves = 2 if run["handed_over_at"] else 1
        counted = run["attempts"] - run["waits"]
        if counted > halves * MAX_ATTEMPTS:
            yield f"run {run['id']} had {counted} attempts"
        since = run["leased_until"] or run["not_before"]
        if run["status"] in ACTIVE and since < tables.now - STARTED_WITHIN:
            yield f"run {run['id']} is {run['status']} and nobody takes it up"


def promotions_passed_their_gate(tables: Tables) -> Iterator[str]:
    """7. What was promoted had been found better than what served then, or an override says so."""
    for line in tables.deployments:
        if line["action"] != "promote" or line["override"]:
            continue
        gate: Mapping[str, Any] = line["gate"] or {}
        if (gate.get("verdict"), gate.get("against")) != ("PROMOTE", line["previous_number"]):
            yield f"{line['model']} generation {line['generation']} was promoted on {gate}"


def answers_are_in_shape(history: list[Exchange], tables: Tables) -> Iterator[str]:
    """No 500, no HTML; where it is right to come back later, it is said when."""
    for exchange in history:
        if not exchange.status or exchange.status in SUCCESS[exchange.kind]:
            continue
        if not isinstance(exchange.answer, dict):
            yield f"{exchange.kind} was answered {exchange.status} and no JSON: {exchange.answer}"
        elif exchange.status >= 500 and "retry-after" not in exchange.headers:
            yield f"{exchange.kind} was answered {exchange.status}: {exchange.answer}"


def nothing_private_is_logged(instance: Instance, history: list[Exchange]) -> Iterator[str]:
    """8. No log holds the clients' key, nor the subjects and comments that they sent."""
    for path in (instance.home / "logs").glob("*.log*"):
        words = set(re.findall(r"[\w.-]+", path.read_text(errors="replace")))
        if instance.key in words:
            yield f"{path.name} holds an API key"
        if found := words & {exchange.mark for exchange in history}:
            yield f"{path.name} holds what clients sent: {found}"


def recovery_times(history: Iterable[Exchange], moments: Iterable[float]) -> list[float]:
    """For each fault, seconds until a prediction sent after it was answered 200."""
    answered = sorted(
        (one.sent, one.ended) for one in history if one.kind == "predict" and one.status == 200
    )
    found = []
    for moment in moments:
        ends = [ended for sent, ended in answered if sent >= moment]
        found.append(min(ends, default=time.time()) - moment)
    return found


def _succeeded(history: Iterable[Exchange], kind: str) -> Iterator[Exchange]:
    return (one for one in history if one.kind == kind and one.status in SUCCESS[kind])


def _by_mark(history: Iterable[Exchange]) -> Mapping[str, list[Exchange]]:
    found: dict[str, list[Exchange]] = defaultdict(list)
    for exchange in history:
        found[exchange.mark].append(exchange)
    return found


def _ledger(tables: Tables, model: str) -> list[Row]:
    lines = [line for line in tables.deployments if line["model"] == model]
    return sorted(lines, key=lambda line: int(line["generation"]))
