"""`manage.py reset_totp USER`: turn off the two-factor login of somebody who lost the phone."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandParser

from everlearn import two_factor
from everlearn.access import named_user
from models_app.management.acting import ActingCommand


class Command(ActingCommand):
    help = "Remove a user's authenticator app and recovery codes, and end the user's sessions."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("user")

    def act(self, actor: User, **options: Any) -> None:
        two_factor.reset(named_user(options["user"]), actor=actor)
        self.stdout.write(f"The two-factor login of {options['user']} is off.")
