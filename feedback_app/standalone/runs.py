"""Carry out a run that the service froze and hands over; it judges what comes of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.conf import settings

from feedback_app.standalone import lessons
from feedback_app.standalone.heartbeat import ACTIVE, Heartbeat, Interrupted
from feedback_app.standalone.job import Ended, Failed, Job
from feedback_app.standalone.service import LATER, Service, ServiceRefused
from feedback_app.standalone.summary import Summary

VERDICT_WITHIN = 900.0  # seconds; other runs may be before it
LOOK_EVERY = 2.0
NOT_BETTER = 3


def carry_out(job: Job, service: Service) -> Ended:
    """From the announcement to the verdict. Raises whatever keeps it from that."""
    if settings.MLFLOW_TRACKING_URI.endswith(f"{settings.EVERLEARN_HOME}/mlflow.db"):
        raise Failed("MLFLOW_TRACKING_URI is not set, but the service has to find the version")
    job.find_registry()
    run, metrics = _take(job, service), dict[str, float]()
    if run["status"] in ACTIVE:
        metrics = _train(job, service)
        run = _judged(job, service)
    return _told(job, service, run, metrics)


def _take(job: Job, service: Service) -> dict[str, Any]:
    """Become the one who trains the run, once it is frozen; or the run that a twin has trained.

    GitHub starts two workflows for a run where the service did not hear that it accepted.
    """
    asked = job.asked
    while True:
        if not asked.run:
            job.reached(run=service.announce(job.note.model, asked.reason))
        asked.say(f"Run {job.note.run} of {job.note.model} at {service.address}")
        job.show("waiting for the service", 0, 1)
        run = _report(job, service, patience=settings.EVERLEARN_RUN_TIMEOUT)
        if run["status"] in ACTIVE or (asked.run and run["verdict"]):
            return run
        if asked.run or run["trigger"] == "external":
            raise Failed(f"run {job.note.run} has ended already: {_state(run)}")
        # Another was under way when we announced ours; now it is our turn.


def _train(job: Job, service: Service) -> dict[str, float]:
    """Learn from what was frozen, and register it; what was measured."""
    with _beating(job, service):
        job.show("fetching the training data", 0, 1)
        file = service.training_data(job.note.model, job.note.run)
        lesson = lessons.frozen_lesson(job.note.model, file, job.asked.data, job.asked.say)
        learnt = job.learn(lesson)
        whose = {"everlearn.installation": lesson.installation, "everlearn.run": str(job.note.run)}
        job.register(lesson, learnt, whose)
    return learnt.metrics


@contextmanager
def _beating(job: Job, service: Service) -> Iterator[None]:
    with Heartbeat(lambda: _report(job, service)) as heartbeat:
        try:
            yield
        except Interrupted:
            if heartbeat.ended is None:
                raise
            why = f"run {job.note.run} was ended by the service: {_state(heartbeat.ended)}"
            raise Failed(why) from None


def _report(job: Job, service: Service, *, patience: float = LATER) -> dict[str, Any]:
    step, done, total = job.step
    progress = {"step": step, "done": done, "total": total}
    said = {"reporter": job.note.reporter, "status": "running", "progress": progress}
    return service.report(job.note.run, said, patience=patience)


def _judged(job: Job, service: Service) -> dict[str, Any]:
    """The run once the service has judged it."""
    job.show("waiting for the verdict", 0, 1)
    said = {"reporter": job.note.reporter, "status": "registered", "version": job.note.version}
    run = service.report(job.note.run, said)
    _reload(job, service)
    deadline = time.monotonic() + VERDICT_WITHIN
    while run["status"] in ACTIVE:
        if time.monotonic() > deadline:
            raise Failed(f"run {job.note.run} has no verdict yet; the service goes on with it")
        time.sleep(LOOK_EVERY)
        run = service.report(job.note.run, said)
    if not run["verdict"]:
        raise Failed(f"run {job.note.run} got no verdict: {_state(run)}")
    if run["verdict"] == "PROMOTE":
        _reload(job, service)
    return run


def _reload(job: Job, service: Service) -> None:
    """Call HOT_RELOAD_URL; whoever serves finds the version by itself, only later."""
    try:
        told = service.reload()
    except ServiceRefused as error:
        job.asked.say(f"HOT_RELOAD_URL: {error}")
    else:
        if not told["synced"]:
            job.asked.say(f"HOT_RELOAD_URL: not in agreement with MLflow yet: {told}")


def _told(
    job: Job, service: Service, run: Mapping[str, Any], measured: Mapping[str, float]
) -> Ended:
    note, number, verdict = job.note, run["version"], run["verdict"]
    lines = [
        f"Run {note.run} at {service.address}: {job.asked.reason or 'no reason given'}",
        _place_of(number, verdict, service.serving(note.model)),
        *([run["error"]] if run["error"] else ()),
    ]
    checks = (run["gate"] or {}).get("checks", ())
    title = f"{note.model} version {number}: {verdict}"
    return Ended(0 if verdict == "PROMOTE" else NOT_BETTER, Summary(title, lines, measured, checks))


def _place_of(number: int, verdict: str, serving: int | None) -> str:
    if serving == number:
        return "It serves."
    what = f"version {serving} serves on" if serving else "what served serves on"
    if verdict == "PROMOTE":
        return f"It waits for somebody to promote it; {what}."
    return f"It is not promoted; {what}."


def _state(run: Mapping[str, Any]) -> str:
    return f"{run['status']} {run['error'] or ''}".strip()
