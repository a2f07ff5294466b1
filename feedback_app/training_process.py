"""Train in a process of its own, so that a crash or a leak ends the run and not the worker."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

from django.conf import settings
from django.db import DatabaseError

from feedback_app import retraining, setting_aside
from feedback_app.run_errors import SEE_LOG
from feedback_app.secrecy import without_secrets
from models_app import child_process
from models_app.child_process import Limits

logger = logging.getLogger(__name__)

LOOK_EVERY = 1.0
# What the last lines of a process hold that wanted more memory than there is.
OUT_OF_MEMORY = ("MemoryError", "Cannot allocate memory", "bad_alloc")


def supervise(run_id: int, token: int) -> None:
    """Have a child process carry out a claimed run, keep its lease, and settle how it ended.

    The child is killed when it takes too long, when the run is cancelled, and when whoever
    supervises it dies.
    """
    with tempfile.TemporaryFile() as errors:
        child = child_process.start(
            [sys.executable, "manage.py", "run_training", str(run_id), str(token)],
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            environ=_threads(),
        )
        try:
            _limits().put_on(child.pid)
            in_time = _wait(child, run_id, token)
        finally:
            child_process.end(child)
        if not in_time:
            why = (
                f"timeout: training was stopped after {settings.EVERLEARN_RUN_TIMEOUT} s. Raise "
                "EVERLEARN_RUN_TIMEOUT, give fewer rows, or choose a faster estimator."
            )
            if not setting_aside.retry_without_newest(run_id, token, why):
                retraining.fail(run_id, token, why)
        elif child.returncode:
            why = _why_lost(child.returncode, errors)
            if not (
                _may_be_the_rows(child.returncode, token)
                and setting_aside.retry_without_newest(run_id, token, why)
            ):
                retraining.retry_or_fail(run_id, token, why)


def _may_be_the_rows(returncode: int, token: int) -> bool:
    """Whether a process ended by itself, for the second time, as for want of memory."""
    killed = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT)
    return token > 1 and returncode not in killed


def _limits() -> Limits:
    # Data, not address space: libraries and thread stacks reserve far more than they use.
    return Limits(memory=settings.EVERLEARN_RUN_MEMORY * child_process.MIB)


def _wait(child: subprocess.Popen[bytes], run_id: int, token: int) -> bool:
    """Keep the lease until the child ends or the run is no longer ours; False when too long."""
    deadline = time.monotonic() + settings.EVERLEARN_RUN_TIMEOUT
    while time.monotonic() < deadline:
        try:
            child.wait(LOOK_EVERY)
            return True
        except subprocess.TimeoutExpired:
            if not _still_ours(child, run_id, token):
                return True
    return False


def _still_ours(child: subprocess.Popen[bytes], run_id: int, token: int) -> bool:
    """Renew the lease of a child at work; false when the run is no longer ours."""
    try:
        # One that somebody stopped does nothing, so that another has to take over.
        if _is_stopped(child.pid):
            return retraining.is_held(run_id, token)
        return retraining.renew(run_id, token)
    except DatabaseError as error:
        # A busy database is not a lost lease: there is time for many more tries.
        logger.warning("lease of run %s not renewed: %s", run_id, error)
        return True


def _is_stopped(pid: int) -> bool:
    try:
        _, _, after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")
    except OSError:
        return False
    return after_name.startswith("T")


def _threads() -> dict[str, str]:
    """Share the processors among the runs, instead of every run taking all of them."""
    threads = str(max(1, (os.cpu_count() or 1) // settings.EVERLEARN_CONCURRENT_RUNS))
    return dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)


def _why_lost(returncode: int, errors: IO[bytes]) -> str:
    """What became of the child, and what to do; the last that it said is for the log."""
    cause, said = child_process.cause_of(returncode), child_process.tail_of(errors)
    logger.error("the training process: %s\n%s", cause, without_secrets(said))
    if any(sign in said for sign in OUT_OF_MEMORY):
        return (
            "worker_lost: Cannot allocate memory: training may take "
            f"{settings.EVERLEARN_RUN_MEMORY} MiB. Raise EVERLEARN_RUN_MEMORY, or give fewer rows."
        )
    return (
        f"worker_lost: {cause}: the process that trains ended before it was done. "
        f"{SEE_LOG} Train again, and see that the machine has memory to spare."
    )
