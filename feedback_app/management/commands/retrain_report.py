"""`manage.py retrain_report [--run ID]`: end what `train --standalone` could not end itself."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from feedback_app.standalone.notes import UnderWay
from feedback_app.standalone.settling import settle_last


class Command(BaseCommand):
    help = "Tell service and MLflow of a standalone training that was killed or never began."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--run", default="", help="the run that was handed over")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["run"] and not options["run"].isdecimal():
            raise CommandError("--run is the number of a run.")
        try:
            told = settle_last(int(options["run"] or 0), self.stdout.write)
        except UnderWay as error:
            raise CommandError(str(error)) from error
        if not told:
            raise CommandError("Not all whom it concerns could be told; give it again later.")
