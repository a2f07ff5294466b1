"""`manage.py export_subject --subject KEY [--out FILE]`: what is known of a person, as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandParser

from feedback_app import exporting
from models_app.management.acting import ActingCommand


class Command(ActingCommand):
    help = "Write all that is known of a subject, as JSON."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--subject", required=True, metavar="KEY")
        parser.add_argument("--client", default="", help="only what this key or user asked")
        parser.add_argument("--out", type=Path, metavar="FILE", help="default: stdout")

    def act(self, actor: User, **options: Any) -> None:
        pieces = exporting.export(options["subject"], actor=actor, client=options["client"])
        if options["out"]:
            exporting.write(pieces, options["out"])
            self.stdout.write(f"{options['out']} is written.")
            return
        for piece in pieces:
            self.stdout.write(piece, ending="")
