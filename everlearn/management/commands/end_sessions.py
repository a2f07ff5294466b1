"""`manage.py end_sessions USER`: end every login of a user in a browser."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandParser

from everlearn import sessions
from everlearn.access import named_user
from models_app.management.acting import ActingCommand


class Command(ActingCommand):
    help = "End all sessions of a user; each browser has to log in again."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("user")

    def act(self, actor: User, **options: Any) -> None:
        count = sessions.end_sessions_of(named_user(options["user"]), actor=actor)
        self.stdout.write(f"{count} sessions of {options['user']} were ended.")
