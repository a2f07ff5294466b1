"""`manage.py create_api_key NAME --scopes a,b`: print a new key, once."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from everlearn import keys
from everlearn.access import SCOPES


class Command(BaseCommand):
    help = "Make an API key with a service account; the key is the last line, and shown once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--scopes", required=True, help=f"of {','.join(SCOPES)}")

    def handle(self, *args: Any, **options: Any) -> None:
        scopes = [scope.strip() for scope in options["scopes"].split(",") if scope.strip()]
        try:
            key = keys.create_key(options["name"], scopes)
        except keys.KeyRefused as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(key)
