"""Move what an instance serves, past its doors: `python -m tests.drills.promoting MODEL TIMES`.

The model's two versions take turns; one that is not there yet is made, and the second takes each
oak for an elm. MLflow knows nothing of those made here, so what served before is gone back to.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from django.conf import settings

if TYPE_CHECKING:
    # Needs Django set up, which the process that promotes does itself.
    from tests.instance import Instance

EVERY = 0.15
# MLflow gives the next ones to what is trained.
FIRST_NUMBER = 1001


def promote(instance: Instance, model: str, *, times: int) -> None:
    """Move what serves so many times, a few times a second."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.drills.promoting", model, str(times)],
        cwd=settings.BASE_DIR, env=instance.environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def _promote(name: str, times: int) -> None:
    import django

    django.setup()
    from models_app import promotion
    from models_app.actors import system_user
    from models_app.models import Deployment, RegisteredModel
    from tests.factories import make_version

    model = RegisteredModel.objects.get(name=name)
    while (made := model.versions.count()) < 2:
        make_version(model, turned=bool(made), number=FIRST_NUMBER + made)
    actor = system_user("cli")
    for _ in range(times):
        model.refresh_from_db()
        first, second = model.versions.order_by("number")[:2]
        version = second if model.champion == first else first
        by: dict[str, Any] = {"actor": actor, "door": Deployment.Door.CLI, "reason": "a drill"}
        if model.deployments.filter(version=version).exists():
            promotion.rollback(model, to=version, **by)
        else:
            promotion.promote(version, override=True, **by)
        time.sleep(EVERY)


if __name__ == "__main__":
    _promote(sys.argv[1], int(sys.argv[2]))
