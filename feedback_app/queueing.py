"""The only callers of django-q's `async_task`.

A mistyped option of `async_task` would silently become an argument of the task. A message
holds a run's id at most and may be lost or arrive twice: the rows say what is to be done.
"""

from __future__ import annotations

import logging
from uuid import UUID

from django.conf import settings
from django_q.models import Schedule
from django_q.tasks import async_task

logger = logging.getLogger(__name__)

EXECUTE = "feedback_app.tasks.execute_retraining"
EXECUTE_BATCH = "feedback_app.tasks.execute_batch"
PULSE = "feedback_app.tasks.pulse"
# Nothing else is carried out, whatever a message names (see `broker`).
TASKS = frozenset({EXECUTE, EXECUTE_BATCH, PULSE})

# A run that ends itself at its time limit must not be interrupted by the queue first.
OVERTIME = 60
PULSE_TIMEOUT = 30
# A batch works for half a minute at a time, and then to the end of what it is at.
BATCH_TIMEOUT = 600


def wake(run_id: int) -> None:
    """Have a worker look at a run, now."""
    async_task(
        EXECUTE,
        run_id,
        task_name=f"run-{run_id}",
        group="retraining",
        timeout=settings.EVERLEARN_RUN_TIMEOUT + OVERTIME,
        ack_failure=True,
    )


def wake_batch(job_id: UUID) -> None:
    """Have a worker look at a batch, now."""
    async_task(
        EXECUTE_BATCH,
        job_id.int,  # a number, as every id in a message
        task_name=f"batch-{job_id}",
        group="batch",
        timeout=BATCH_TIMEOUT,
        save=False,
        ack_failure=True,
    )


def put_pulse() -> None:
    """Send a pulse through the queue; that it arrives shows that the cluster works."""
    async_task(
        PULSE,
        task_name="pulse",
        group="pulse",
        timeout=PULSE_TIMEOUT,
        save=False,
        ack_failure=True,
    )


def drop_schedules() -> None:
    """Delete what somebody wrote into django-q2's schedule: triggers are the models' own.

    The cluster runs without its scheduler, so that nothing there is ever carried out.
    """
    for schedule in Schedule.objects.all():
        logger.error("a schedule that names %.100r was dropped, never run", schedule.func)
        schedule.delete()
