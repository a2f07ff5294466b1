"""`manage.py train MODEL [--wait] [--promote] [--data PATH_OR_URL]`: queue a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser

from feedback_app import retraining
from feedback_app.following_runs import wait_for_runs
from feedback_app.models import RetrainingRun
from models_app.declaration import locate_data
from models_app.management.acting import ActingCommand, named_model

NOT_BETTER = 3


class Command(ActingCommand):
    help = "Retrain a model. Exit status with --wait: 0 PROMOTE, 3 HOLD or REJECT, 1 failed."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("model")
        parser.add_argument("--wait", action="store_true", help="until the verdict is known")
        parser.add_argument("--promote", action="store_true", help="when the verdict is PROMOTE")
        parser.add_argument("--data", default="", help="base data for this run only")
        parser.add_argument("--reason", default="")

    def act(self, actor: User, **options: Any) -> None:
        run, created = retraining.request(
            named_model(options["model"]),
            actor=actor,
            trigger=RetrainingRun.Trigger.MANUAL,
            reason=options["reason"],
            data=options["data"] and locate_data(options["data"], Path.cwd()),
            promote=options["promote"],
        )
        self.stdout.write(f"{run} is {run.status}." if created else f"{run} is under way already.")
        if options["wait"]:
            self._report(*wait_for_runs([run], self.stdout))

    def _report(self, run: RetrainingRun) -> None:
        if not run.verdict:
            raise CommandError(f"{run} {run.status}: {run.error}")
        self.stdout.write(f"{run.version}: {run.verdict}")
        for check in (run.version.gate or {}).get("checks", ()) if run.version else ():
            sign = "ok" if check["passed"] else "NO"
            self.stdout.write(f"  {sign} {check['name']}: {check['value']} ({check['limit']})")
        if run.error:
            self.stderr.write(run.error)
        if run.verdict != "PROMOTE":
            raise SystemExit(NOT_BETTER)
