"""`manage.py apply [FILE] [--plan] [--train [--no-wait]] [--prune]`: make the database agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from feedback_app import fitting, retraining
from feedback_app.following_runs import wait_for_runs
from feedback_app.models import RetrainingRun
from models_app import applying, declaration
from models_app.management import profile_table
from models_app.management.acting import ActingCommand
from models_app.models import ModelVersion, RegisteredModel

# What a model is declared with that its feedback may no longer fit.
DECIDE_WHAT_FITS = frozenset({"features", "target", "task"})
TOLD = "cannot train as the model is declared now, or can again: see their status and reasons."


class Command(ActingCommand):
    help = "Make the database agree with the declared models. The file wins for what it names."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", nargs="?", type=Path, help="default: EVERLEARN_MODELS")
        parser.add_argument(
            "--plan", action="store_true", help="only print; exit 2 when it differs"
        )
        parser.add_argument("--train", action="store_true", help="train what is new or changed")
        parser.add_argument("--no-wait", action="store_true", help="leave the training to itself")
        parser.add_argument(
            "--reread",
            action="store_true",
            help="also read the data anew of models that an earlier release declared",
        )
        parser.add_argument("--prune", action="store_true", help="retire what is not named")

    def act(self, actor: User, **options: Any) -> None:
        path: Path = options["file"] or settings.EVERLEARN_MODELS
        try:
            declared = declaration.read(path)
            changes = applying.plan(
                declared, path, prune=options["prune"], reread=options["reread"]
            )
        except (declaration.DeclarationRefused, applying.PlanRefused) as refusal:
            raise CommandError(str(refusal)) from refusal
        for line in (line for change in changes for line in change.lines()):
            self.stdout.write(line)
        if not changes:
            self.stdout.write(f"Nothing to change: the database agrees with {path}.")
        if options["plan"]:
            for described in applying.profiles(declared, path, changes):
                profile_table.show(described, self.stdout)
            raise SystemExit(2 if changes else 0)
        with transaction.atomic():
            applying.apply(changes, actor=actor)
            self._settle_feedback(changes)
        if options["train"]:
            runs = self._requested(actor, self._outdated(list(declared.models)))
            if not options["no_wait"]:
                self._follow(runs)

    def _settle_feedback(self, changes: list[applying.Change]) -> None:
        """Set aside the feedback that models can no longer learn, or take it back."""
        for change in changes:
            if change.verb != "update" or not DECIDE_WHAT_FITS.intersection(change.fields):
                continue
            before, _ = change.fields.get("target", ("", ""))
            model = RegisteredModel.objects.get(name=change.name)
            if words := fitting.settle(model, target_before=str(before)):
                self.stdout.write(f"    {words} of feedback {TOLD}")

    @staticmethod
    def _outdated(names: list[str]) -> list[RegisteredModel]:
        """The models without a version that was trained as they are declared now."""
        stored = RegisteredModel.objects.in_bulk(names, field_name="name")
        trained = ModelVersion.objects.exclude(bundle_digest="")
        return [
            model
            for model in (stored[name] for name in names)
            if not trained.filter(registered_model=model, recipe=model.recipe).exists()
        ]

    @staticmethod
    def _requested(actor: User, outdated: list[RegisteredModel]) -> list[RetrainingRun]:
        return [
            retraining.request(
                model, actor=actor, trigger=RetrainingRun.Trigger.MANUAL, reason="declared"
            )[0]
            for model in outdated
        ]

    def _follow(self, runs: list[RetrainingRun]) -> None:
        ended = wait_for_runs(runs, self.stdout) if runs else []
        failed = [run for run in ended if run.status == run.Status.FAILED]
        if failed:
            raise CommandError("; ".join(f"{run}: {run.error}" for run in failed))
