"""`manage.py rollback MODEL [--to VERSION] --reason …`."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandParser

from models_app import promotion
from models_app.management.acting import ActingCommand, named_model, numbered_version
from models_app.models import Deployment


class Command(ActingCommand):
    help = "Serve an earlier version of a model again."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("model")
        parser.add_argument("--to", type=int, help="default: what served before")
        parser.add_argument("--reason", required=True)

    def act(self, actor: User, **options: Any) -> None:
        model = named_model(options["model"])
        to = None if options["to"] is None else numbered_version(model, options["to"])
        line = promotion.rollback(
            model, to=to, actor=actor, door=Deployment.Door.CLI, reason=options["reason"]
        )
        self.stdout.write(f"{line.version} serves as generation {line.generation}.")
