"""`manage.py set_key_quotas NAME [--rows-per-day N] …`: what a key may use a day."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandParser

from everlearn import key_quotas
from models_app.management.acting import ActingCommand


class Command(ActingCommand):
    help = "Set the daily quotas of an API key; those not given are the installation's."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name")
        key_quotas.add_options(parser)

    def act(self, actor: User, **options: Any) -> None:
        given = {name: options[name] for name in key_quotas.QUOTAS}
        key_quotas.set_quotas(options["name"], given, actor=actor)
        self.stdout.write(f"{options['name']} has its new quotas within seconds.")
