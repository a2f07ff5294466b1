"""Ask the worker to reconcile with MLflow, from a process that must not talk to MLflow."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from django.utils import timezone

from models_app.models import RegistrySync


def ask() -> datetime:
    """Have the worker reconcile as soon as it can; returns when that was asked."""
    asked = timezone.now()
    RegistrySync.objects.update_or_create(pk=1, defaults={"requested_at": asked})
    return asked


def wait_for_sync(timeout: timedelta) -> tuple[bool, str]:
    """Have the worker reconcile; (True, "") when it has, else False and the reason."""
    asked = ask()
    give_up = time.monotonic() + timeout.total_seconds()
    while time.monotonic() < give_up:
        sync = RegistrySync.objects.get(pk=1)
        if sync.finished_at and sync.started_at and sync.finished_at >= sync.started_at >= asked:
            return not sync.error, sync.error
        time.sleep(0.1)
    return False, f"the worker did not answer within {timeout.total_seconds():.0f} s"
