"""Keep the queue's cluster working, and MLflow in agreement with us.

Killing an idle worker of django-q may stall its whole cluster for good, without any process
being dead. So a pulse goes through the queue every few seconds, and a cluster in which none
arrived for too long is killed and started again. MLflow is reconciled in a thread of this
process: it takes 165 MB to import, which not every worker of the cluster should hold. So are
the models' data sources looked at.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from types import FrameType

from django.conf import settings
from django.db import DatabaseError, close_old_connections

from feedback_app import heartbeat, queueing
from models_app import lifeline

logger = logging.getLogger(__name__)

PULSE_EVERY = 3.0
# A pulse that has not come back by then is not waited for any longer.
PULSE_LOST = 12.0
STALLED = 40.0
# Ctrl-C has to end everything within ten seconds; a run that is cut off is taken up again.
GRACE = 4.0
LOOK_EVERY = 0.25
RECONCILE_LOOK_EVERY = 0.5
SOURCES_LOOK_EVERY = 2.0
RETENTION_LOOK_EVERY = 60.0


class Worker:
    """The cluster of this machine and the one who watches it."""

    def __init__(self) -> None:
        self._cluster: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._put_at = self._seen_at = 0.0
        self._last_beat = 0.0

    def run(self) -> None:
        """Work until SIGTERM or SIGINT."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        for part in (self._reconcile, self._look_at_sources, self._keep_retention):
            threading.Thread(target=part, name=part.__name__, daemon=True).start()
        while not self._stopping.wait(LOOK_EVERY):
            self._look()
        self._end_cluster(GRACE)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        self._stopping.set()

    def _look(self) -> None:
        if self._cluster is None or self._cluster.poll() is not None:
            self._start_cluster()
        elif self._is_stalled():
            logger.error("the cluster carried out no pulse for %.0f s: restarted", STALLED)
            self._end_cluster(0)
        else:
            self._keep_pulse()

    def _start_cluster(self) -> None:
        if self._cluster is not None:
            logger.error("the cluster died: restarted")
            self._end_cluster(0)
        # In a session of its own: only its first process may get a signal, or it would hang.
        self._cluster = subprocess.Popen(
            lifeline.tied(sys.executable, "manage.py", "cluster"),
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._seen_at = time.monotonic()
        self._put_at = 0.0
        self._last_beat = heartbeat.last_beat()

    def _is_stalled(self) -> bool:
        beat = heartbeat.last_beat()
        if beat != self._last_beat:
            self._last_beat, self._seen_at = beat, time.monotonic()
        return time.monotonic() - self._seen_at > STALLED

    def _keep_pulse(self) -> None:
        since = time.monotonic() - self._put_at
        came_back = self._seen_at > self._put_at
        if since < (PULSE_EVERY if came_back else PULSE_LOST):
            return
        self._put_at = time.monotonic()
        try:
            close_old_connections()
            queueing.put_pulse()
        except DatabaseError as error:
            logger.warning("no pulse sent: %s", error)

    def _end_cluster(self, grace: float) -> None:
        """Ask the first process to stop, and kill what is left of its session."""
        if self._cluster is None:
            return
        if grace:
            self._cluster.terminate()
        try:
            self._cluster.wait(grace)
        except subprocess.TimeoutExpired:
            logger.warning("the cluster did not stop within %.0f s: killed", grace)
        with suppress(ProcessLookupError):
            os.killpg(self._cluster.pid, signal.SIGKILL)
        self._cluster.wait()
        self._cluster = None

    def _reconcile(self) -> None:
        # Takes seconds to import, which the cluster's first run need not wait for.
        from feedback_app import arrivals, registering  # noqa: PLC0415
        from models_app import reconciling  # noqa: PLC0415

        def then() -> None:
            arrivals.settle()
            registering.close_orphans()

        while not self._stopping.wait(RECONCILE_LOOK_EVERY):
            try:
                close_old_connections()
                reconciling.reconcile_if_due(also=then)
            except Exception:
                # Whatever MLflow or the database did, the next round may fare better.
                logger.exception("reconcile failed")

    def _look_at_sources(self) -> None:
        # A server may take its time to answer, for which no pulse can wait.
        from feedback_app import looking  # noqa: PLC0415

        while not self._stopping.wait(SOURCES_LOOK_EVERY):
            try:
                close_old_connections()
                looking.look_where_wanted()
            except Exception:
                logger.exception("the data sources were not looked at")

    def _keep_retention(self) -> None:
        # Deletes for hours, where much is old: not a task of the queue, which ends those.
        from feedback_app import retention  # noqa: PLC0415

        while not self._stopping.wait(RETENTION_LOOK_EVERY):
            try:
                close_old_connections()
                retention.apply_if_due()
            except Exception:
                logger.exception("old rows were not deleted; trying again")
