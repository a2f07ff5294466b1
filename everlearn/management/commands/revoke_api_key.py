"""`manage.py revoke_api_key NAME`: end a key; every process refuses it within 5 s."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandParser

from everlearn import keys
from models_app.management.acting import ActingCommand


class Command(ActingCommand):
    help = "Revoke an API key; it stops working within 5 s."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name")

    def act(self, actor: User, **options: Any) -> None:
        keys.revoke_key(options["name"], actor=actor)
        self.stdout.write(f"{options['name']} is revoked.")
