"""`manage.py sign_bundle MODEL VERSION --reason …`: answer for a version from elsewhere."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser

from models_app import bundle_signatures
from models_app.management.acting import ActingCommand, named_model, numbered_version


class Command(ActingCommand):
    help = "Sign the bundle of a version, so that it may be judged and served."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("model")
        parser.add_argument("version", type=int)
        parser.add_argument("--reason", required=True)

    def act(self, actor: User, **options: Any) -> None:
        # MLflow takes seconds to import.
        from models_app.registry import RegistryAway  # noqa: PLC0415

        version = numbered_version(named_model(options["model"]), options["version"])
        try:
            signed = bundle_signatures.sign_version(version, actor=actor, reason=options["reason"])
        except RegistryAway as away:
            raise CommandError(str(away)) from away
        self.stdout.write(f"{signed} is signed: bundle {signed.bundle_digest}.")
