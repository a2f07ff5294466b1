"""Answer one request as a web process does, and be killed.

    python -m tests.drills.killed_request WHEN

WHEN is `before-reply`, after all is committed, or `before-commit`. The body comes on stdin.
"""

from __future__ import annotations

import os
import signal
import sys


def main(when: str, body: str) -> None:
    import django

    django.setup()
    from django.db import connection
    from django.test import Client

    from feedback_app.models import RememberedAnswer

    def die(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if when == "before-commit":
        from django.db.models.signals import post_save

        # The last row of the transaction is written, and nothing of it is committed.
        post_save.connect(die, sender=RememberedAnswer)
    Client().post(
        "/api/feedback/", body, "application/json",
        headers={"Host": "localhost", "Idempotency-Key": "k-1"},
    )  # fmt: skip
    connection.close()
    die()


if __name__ == "__main__":
    main(sys.argv[1], sys.stdin.read())
