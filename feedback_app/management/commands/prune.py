"""`manage.py prune [--yes]`: delete what is older than EVERLEARN_RETAIN_… say."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandParser

from feedback_app import retention
from models_app.management.acting import ActingCommand


class Command(ActingCommand):
    help = (
        "Show what is older than it is kept. This dry run also lets the daily look of the worker "
        "delete it; with --yes it is deleted now."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--yes", action="store_true", help="delete, rather than show")
        parser.add_argument("--dry-run", action="store_true", help="the default")

    def act(self, actor: User, **options: Any) -> None:
        if options["yes"] and not options["dry_run"]:
            gone = retention.prune(actor=actor, progress=self._say)
            self.stdout.write("Deleted: " + ", ".join(f"{n:,} {kind}" for kind, n in gone.items()))
            return
        for due in retention.dry_run(actor=actor):
            self.stdout.write(str(due))
        self.stdout.write("Nothing was deleted. The worker does so daily; --yes does so now.")

    def _say(self, rows: int) -> None:
        self.stdout.write(f"{rows:,} rows …")
        self.stdout.flush()
