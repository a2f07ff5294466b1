"""`manage.py run_training RUN TOKEN`: the child process in which a claimed run is carried out."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from feedback_app.attempts import carry_out
from feedback_app.models import RetrainingRun
from models_app.tracing import tracing


class Command(BaseCommand):
    help = "Carry out a claimed run; started by the worker, with the token of its claim."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", type=int)
        parser.add_argument("token", type=int)

    def handle(self, *args: Any, **options: Any) -> None:
        run = RetrainingRun.objects.select_related("registered_model").get(pk=options["run"])
        with tracing(run=run.pk):
            self.stdout.write(carry_out(run, options["token"]))
