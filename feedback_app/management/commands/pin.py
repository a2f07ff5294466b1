"""`manage.py pin MODEL FILE --reason …`: rows that judge every version and never train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser

from feedback_app import golden, pinned_rows
from models_app.management.acting import ActingCommand, named_model
from models_app.refusals import InvalidInput


class Command(ActingCommand):
    help = "Add the rows of a CSV file, with their right answers, to a model's golden rows."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("model")
        parser.add_argument("file", type=Path)
        parser.add_argument("--reason", required=True)

    def act(self, actor: User, **options: Any) -> None:
        model = named_model(options["model"])
        try:
            with options["file"].open("rb") as file:
                pins = pinned_rows.read(file, model)
        except OSError as error:
            raise CommandError(f"{options['file']}: {error.strerror}") from None
        except InvalidInput as refusal:
            told = "\n".join(f"{one.attr}: {one.detail}" for one in refusal.problems)
            raise CommandError(f"Nothing was pinned.\n{told}") from None
        new = golden.pin(model, pins, actor=actor, reason=options["reason"])
        self.stdout.write(golden.told(model, new, len(pins)))
