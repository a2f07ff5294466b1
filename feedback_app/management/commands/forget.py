"""`manage.py forget --subject KEY`: what is known of a person goes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandParser

from feedback_app import erasing
from models_app.management.acting import ActingCommand


class Command(ActingCommand):
    help = "Forget a subject: its predictions' content, feedback, and rows in training sets."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--subject", required=True, metavar="KEY")
        parser.add_argument("--client", default="", help="only what this key or user asked")
        parser.add_argument(
            "--patience", type=int, default=600, metavar="SECONDS",
            help="how long to wait for a run that learns from the rows (default: %(default)s)",
        )  # fmt: skip

    def act(self, actor: User, **options: Any) -> None:
        erasures = erasing.forget(
            options["subject"],
            actor=actor,
            client=options["client"],
            patience=timedelta(seconds=options["patience"]),
        )
        for erasure in erasures:
            self.stdout.write(
                f"Forgotten: {erasure.predictions} predictions, {erasure.feedback} words of "
                f"feedback, and their rows in training sets ({erasure})."
            )
