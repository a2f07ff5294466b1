"""`manage.py roll_api_key NAME [--overlap 24h]`: a new key; the old one ends after the overlap."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser

from everlearn import key_rolling
from models_app.learning.triggers import parse_duration
from models_app.management.acting import ActingCommand


class Command(ActingCommand):
    help = "Make a new API key in place of one; the key is the last line, and shown once."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name")
        parser.add_argument(
            "--overlap", metavar="24h", default="24h", help="the old key works so much longer"
        )

    def act(self, actor: User, **options: Any) -> None:
        try:
            overlap = parse_duration(options["overlap"])
        except ValueError as error:
            raise CommandError(f"--overlap: {error}") from error
        self.stdout.write(key_rolling.roll_key(options["name"], actor=actor, overlap=overlap))
