"""`manage.py restore FILE`: have all be as it was when that backup was made."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from everlearn.backups import restoring
from everlearn.backups.verifying import BackupRefused
from everlearn.management.commands.backup import said
from everlearn.supervising import Busy
from models_app.refusals import Unavailable


class Command(BaseCommand):
    help = "Restore a backup into EVERLEARN_HOME and the database, where nothing may run."
    # What is to be replaced may be anything.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--force", action="store_true", help="replace what is there")
        parser.add_argument(
            "--trust",
            action="store_true",
            help="take a backup that was not signed with this installation's secret key; "
            "everybody has to log in again, and feedback links end",
        )

    def handle(self, *args: Any, file: Path, force: bool, trust: bool, **options: Any) -> None:
        self.stdout.write(f"Verifying {file}")
        try:
            manifest = restoring.restore(file, force=force, trust=trust)
        except (BackupRefused, Busy, Unavailable) as refusal:
            raise CommandError(f"{file}: {refusal}") from refusal
        self.stdout.write(said(manifest))
        self.stdout.write("Restored. Start with make up.")
