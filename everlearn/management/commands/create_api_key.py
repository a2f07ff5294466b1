"""`manage.py create_api_key NAME --scopes a,b [--expires 90d]`: print a new
key, once."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from everlearn import key_quotas, keys
from everlearn.access import SCOPES, USUAL_SCOPES
from models_app.learning.triggers import parse_duration
from models_app.management.acting import ActingCommand


class Command(ActingCommand):
    help = "Make an API key with a service account; the key is the last line, and shown once."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        usual = ", ".join(f"{','.join(scopes)} for {who}" for who, scopes in USUAL_SCOPES.items())
        parser.add_argument("name")
        parser.add_argument("--scopes", required=True, help=f"of {','.join(SCOPES)}; {usual}")
        parser.add_argument("--expires", metavar="90d", help="after so long; default: never")

        parser.add_argument(
            "--networks", default="", metavar="192.0.2.0/24,…", help="may be used from there alone"
        )
        key_quotas.add_options(parser)

    def act(self, actor: User, **options: Any) -> None:
        scopes = [scope.strip() for scope in options["scopes"].split(",") if scope.strip()]
        expires = options["expires"]
        try:
            expires_in = None if expires is None else parse_duration(expires)
        except ValueError as error:
            raise CommandError(f"--expires: {error}") from error
        networks = [one for one in options["networks"].split(",") if one.strip()]
        given = {name: options[name] for name in key_quotas.QUOTAS}
        with transaction.atomic():
            key = keys.create_key(
                options["name"], scopes, actor=actor, expires_in=expires_in, networks=networks
            )
            key_quotas.set_quotas(options["name"], given, actor=actor)
        self.stdout.write(key)
