"""`manage.py training_data MODEL [--format parquet|csv]`: what would be learnt from next."""

from __future__ import annotations

import sys
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from feedback_app import snapshots
from feedback_app.secrecy import without_secrets
from feedback_app.training_data import FORMATS
from models_app import datasets
from models_app.management.acting import ActingCommand, named_model


class Command(ActingCommand):
    help = "Write the rows of the next training to stdout: base data and accepted feedback."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("model")
        parser.add_argument("--format", choices=FORMATS, default="parquet")

    def act(self, actor: User, **options: Any) -> None:
        if not actor.has_perm("feedback_app.add_retrainingrun"):
            raise PermissionDenied("Training data needs add_retrainingrun.")
        model = named_model(options["model"])
        try:
            base = datasets.read_table(model.data)
            frame = snapshots.next_training(model, base=base, up_to=timezone.now())
        except (datasets.DataRefused, OSError, ValueError) as error:
            raise CommandError(without_secrets(" ".join(str(error).split()))) from error
        self.stdout.flush()
        if options["format"] == "csv":
            sys.stdout.buffer.write(snapshots.as_csv(frame))
        else:
            frame.to_parquet(sys.stdout.buffer, index=False)
        sys.stdout.buffer.flush()
