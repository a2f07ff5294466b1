"""`manage.py cluster`: django-q's cluster, none of whose processes outlives its parent."""

from __future__ import annotations

import os
import signal
from functools import partial
from typing import Any

from django_q.management.commands import qcluster

from models_app.lifeline import die_with_parent


class Command(qcluster.Command):  # type: ignore[misc]
    help = "The queue's processes; started and watched by `manage.py worker`."

    def handle(self, *args: Any, **options: Any) -> None:
        # Without this, killing one of them would leave those below it working unwatched.
        os.register_at_fork(after_in_child=partial(die_with_parent, signal.SIGKILL))
        super().handle(*args, **options)
