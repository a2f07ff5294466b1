"""`manage.py training_data MODEL [--run ID] [--format parquet|csv]`: what is learnt from."""

from __future__ import annotations

import sys
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from feedback_app import failures, snapshots, training_files
from feedback_app.models import RetrainingRun
from feedback_app.training_data import FORMATS
from models_app import datasets
from models_app.management.acting import ActingCommand, named_model
from models_app.models import RegisteredModel


class Command(ActingCommand):
    help = "Write rows that train to stdout: of the next snapshot, or of one that a run froze."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("model")
        parser.add_argument("--run", type=int, help="of this run that a workflow trains")
        parser.add_argument("--format", choices=FORMATS, default="parquet")

    def act(self, actor: User, **options: Any) -> None:
        if not actor.has_perm("feedback_app.add_retrainingrun"):
            raise PermissionDenied("Training data needs add_retrainingrun.")
        model, run_id = named_model(options["model"]), options["run"]
        training = _frozen_for(model, run_id) if run_id else _next(model)
        self.stdout.flush()
        if options["format"] == "csv":
            content = training_files.as_csv(training.rows)
        else:
            content = training_files.as_parquet(model, training, run_id=run_id)
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()


def _frozen_for(model: RegisteredModel, run_id: int) -> snapshots.Training:
    run = RetrainingRun.objects.filter(pk=run_id, registered_model=model).first()
    if run is None or run.snapshot is None:
        raise CommandError(f"No rows are frozen for a run {run_id} of {model}.")
    return snapshots.frozen_training(run.snapshot)


def _next(model: RegisteredModel) -> snapshots.Training:
    try:
        base, _ = datasets.read_for(model)
        return snapshots.next_training(model, base=base, up_to=timezone.now())
    except (datasets.DataRefused, OSError, ValueError) as error:
        raise CommandError(failures.sentence(error, estimator=model.estimator)) from error
