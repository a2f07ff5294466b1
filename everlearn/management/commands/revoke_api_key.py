"""`manage.py revoke_api_key NAME`: end a key; every process refuses it within 5 s."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from everlearn import keys


class Command(BaseCommand):
    help = "Revoke an API key; it stops working within 5 s."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            keys.revoke_key(options["name"])
        except keys.KeyRefused as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"{options['name']} is revoked.")
