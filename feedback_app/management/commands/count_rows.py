"""`manage.py count_rows MODEL`: what a data source has now, as JSON; started by the worker."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app import datasets
from models_app.management.acting import named_model
from models_app.refusals import Refused


class Command(BaseCommand):
    help = "Read a model's data source and say how many rows it has, and in which version."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            _, state = datasets.read_for(named_model(options["model"]))
        except (Refused, datasets.DataRefused, OSError) as error:
            raise CommandError(" ".join(str(error).split())) from error
        self.stdout.write(json.dumps(asdict(state)))
