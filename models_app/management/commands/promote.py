"""`manage.py promote MODEL VERSION --reason …`: one of the three doors to promotion."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandParser

from models_app import promotion
from models_app.management.acting import ActingCommand, named_model, numbered_version
from models_app.models import Deployment


class Command(ActingCommand):
    help = "Make a version of a model the one that serves."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("model")
        parser.add_argument("version", type=int)
        parser.add_argument("--reason", required=True)

    def act(self, actor: User, **options: Any) -> None:
        version = numbered_version(named_model(options["model"]), options["version"])
        line = promotion.promote(
            version, actor=actor, door=Deployment.Door.CLI, reason=options["reason"]
        )
        self.stdout.write(f"{line.version} serves as generation {line.generation}.")
