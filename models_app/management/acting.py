"""Commands that change something: they act as a user, and refuse in one line."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.actors import system_user
from models_app.models import ModelVersion, RegisteredModel
from models_app.refusals import Refused


class ActingCommand(BaseCommand):
    """Adds `--as USER` and turns a refusal into a CommandError; subclasses write `act`."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--as", dest="actor", metavar="USER", help="default: cli")

    def handle(self, *args: Any, **options: Any) -> None:
        actor = _named_user(options.pop("actor"))
        try:
            self.act(actor, **options)
        except (Refused, PermissionDenied) as refusal:
            raise CommandError(str(refusal)) from refusal

    def act(self, actor: User, **options: Any) -> None:
        """Do what the command is for, as `actor`."""
        raise AssertionError(f"{type(self).__name__} does not say what it does")


def _named_user(username: str | None) -> User:
    if username is None:
        return system_user("cli")
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        raise CommandError(f"There is no active user {username!r}.")
    return user


def named_model(name: str) -> RegisteredModel:
    """The registered model `name`, or a CommandError that lists those there are."""
    model = RegisteredModel.objects.filter(name=name, retired_at=None).first()
    if model is None:
        live = RegisteredModel.objects.filter(retired_at=None).values_list("name", flat=True)
        raise CommandError(f"There is no model {name!r}; there are: {', '.join(live) or 'none'}.")
    return model


def numbered_version(model: RegisteredModel, number: int) -> ModelVersion:
    """Version `number` of `model`, or a CommandError."""
    version = model.versions.filter(number=number).first()
    if version is None:
        raise CommandError(f"{model} has no version {number}.")
    return version
