"""`manage.py train MODEL [--wait] [--promote] [--data PATH_OR_URL]`: queue a run.

`train [MODEL] --standalone [--data PATH_OR_URL] [--run ID]`: train in this process, without a
database, for a service that is elsewhere (see `feedback_app.standalone`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser

from feedback_app import retraining
from feedback_app.following_runs import showing, wait_for_runs
from feedback_app.models import RetrainingRun
from feedback_app.standalone.notes import UnderWay
from models_app.declaration import locate_data
from models_app.management.acting import ActingCommand, named_model

NOT_BETTER = 3


class Command(ActingCommand):
    help = "Retrain a model. Exit status with --wait: 0 PROMOTE, 3 HOLD or REJECT, 1 failed."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("model", nargs="?", default="", help="standalone: or the default one")
        parser.add_argument("--wait", action="store_true", help="until the verdict is known")
        parser.add_argument("--promote", action="store_true", help="when the verdict is PROMOTE")
        parser.add_argument("--data", default="", help="base data for this run only")
        parser.add_argument("--reason", default="")
        parser.add_argument("--standalone", action="store_true", help="here, without a database")
        parser.add_argument("--run", default="", help="standalone: the run that is handed over")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["standalone"]:
            self._standalone(options)
        elif not options["model"] or options["run"]:
            raise CommandError("Name the model; --run is for --standalone.")
        else:
            super().handle(*args, **options)

    def _standalone(self, options: dict[str, Any]) -> None:
        # Only here: it takes what a service's own commands can do without.
        from feedback_app.standalone.job import Asked, Failed  # noqa: PLC0415
        from feedback_app.standalone.main import train  # noqa: PLC0415

        if options["run"] and not options["run"].isdecimal():
            raise CommandError("--run is the number of a run.")
        data = options["data"] and locate_data(options["data"], Path.cwd())
        with showing(self.stdout) as (show, say):
            asked = Asked(
                model=options["model"], data=data or settings.DATA_URL, reason=options["reason"],
                run=int(options["run"] or 0), show=show, say=say,
            )  # fmt: skip
            try:
                status = train(asked)
            except (Failed, UnderWay) as failed:
                raise CommandError(str(failed)) from failed
        if status:
            raise SystemExit(status)

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
        gate = (run.version.gate if run.version else None) or {}
        for check in gate.get("checks", ()):
            sign = "ok" if check["passed"] else "NO"
            self.stdout.write(f"  {sign} {check['name']}: {check['value']} ({check['limit']})")
        for note in gate.get("notes", ()):
            self.stdout.write(f"  {note}")
        if run.error:
            self.stderr.write(run.error)
        if run.verdict != "PROMOTE":
            raise SystemExit(NOT_BETTER)
