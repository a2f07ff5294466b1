"""`python -m tests.faulty_training SIGNAL WHERE RUN TOKEN`: a trainer that meets its fault.

It carries out a claimed run like `manage.py run_training`, but sends itself SIGNAL instead of
the write that WHERE names: `step=fitting`, or `version=2` for the second write of that member.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from typing import Any

import django


def main(signum: signal.Signals, where: str, run_id: int, token: int) -> None:
    from feedback_app.attempt import Attempt
    from feedback_app.attempts import carry_out
    from feedback_app.models import RetrainingRun

    write, written = Attempt.write, Counter[str]()

    def faulty_write(self: Attempt, **values: Any) -> None:
        written.update(list(values))
        met = {f"step={values.get('step')}"} | {f"{name}={written[name]}" for name in values}
        if where in met:
            os.kill(os.getpid(), signum)
        write(self, **values)

    Attempt.write = faulty_write  # type: ignore[method-assign]
    run = RetrainingRun.objects.select_related("registered_model").get(pk=run_id)
    sys.stdout.write(carry_out(run, token))


if __name__ == "__main__":
    django.setup()
    main(signal.Signals[sys.argv[1]], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
