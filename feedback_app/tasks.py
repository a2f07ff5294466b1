"""What the queue runs. Each takes an id at most, and may arrive twice or not at all."""

from __future__ import annotations

from uuid import UUID

from feedback_app import (
    batches,
    handing_over,
    heartbeat,
    idempotency,
    queueing,
    retraining,
    training_process,
    triggering,
)
from models_app import neighbours
from models_app.tracing import tracing


def execute_retraining(run_id: int) -> str:
    """Carry a queued run to its verdict. Safe to deliver twice."""
    with tracing(run=run_id):
        run = retraining.claim(run_id)
        if run is None:
            return f"run {run_id} is not free, or as many run as may"
        training_process.supervise(run.pk, run.attempts)
        run.refresh_from_db()
        return f"{run}: {run.status}"


def execute_batch(number: int) -> str:
    """Work on a batch for its turn, then have the next one looked at. Safe to deliver twice."""
    job_id = UUID(int=number)
    job = batches.claim(job_id)
    if job is None:
        return f"batch {job_id} is not free, or another is worked on"
    done = batches.carry_out(job)
    _wake_next_batch()
    return done


def pulse() -> str:
    """Ask for the runs that are due and wake those that wait. Safe to deliver twice."""
    heartbeat.beat()
    neighbours.say_pulse()
    queueing.drop_schedules()
    idempotency.purge()
    retraining.fail_spent_runs()
    handing_over.fail_lost_runs()
    batches.fail_spent()
    batches.purge()
    _wake_next_batch()
    due = triggering.request_due_runs()
    waiting = retraining.runs_to_wake()
    for run_id in waiting:
        queueing.wake(run_id)
    return f"{len(due)} due, {len(waiting)} woken"


def _wake_next_batch() -> None:
    if job := batches.next_job():
        queueing.wake_batch(job.pk)
