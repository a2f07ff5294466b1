"""`manage.py backup FILE`: all that is needed to carry on, in one file, while all goes on."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import Progress

from everlearn.backups import archiving
from everlearn.backups.verifying import BackupRefused, is_signed_here
from models_app.refusals import Unavailable


class Command(BaseCommand):
    help = "Back up database, MLflow (when embedded), bundles, snapshots and keys into one file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--verify", action="store_true", help="look whether FILE is whole")

    def handle(self, *args: Any, file: Path, verify: bool, **options: Any) -> None:
        try:
            manifest = self._verify(file) if verify else self._back_up(file)
        except BackupRefused as refusal:
            raise CommandError(f"{file}: {refusal}") from refusal
        except (OSError, Unavailable) as error:
            raise CommandError(f"{file} was not written: {error}") from error
        self.stdout.write(said(manifest))
        self.stdout.write(f"{file} is whole." if verify else f"{file} is written.")

    def _verify(self, file: Path) -> dict[str, Any]:
        with archiving.opened(file) as (folder, manifest):
            if not is_signed_here(folder):
                self.stderr.write(
                    f"{file} was not signed with this installation's secret key; "
                    "restoring it here needs --trust."
                )
            return manifest

    def _back_up(self, file: Path) -> dict[str, Any]:
        console = Console(stderr=True)
        with Progress(console=console, disable=not console.is_terminal) as progress:
            line = progress.add_task("databases", total=None)

            def on_progress(name: str, done: int, total: int) -> None:
                progress.update(line, description=name[:40], completed=done, total=total)

            return archiving.back_up(file, on_progress=on_progress)


def said(manifest: dict[str, Any]) -> str:
    """What a backup holds, in one line."""
    counts = cast("dict[str, int]", manifest["database"]["counts"])
    rows = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"Made {manifest['made_at']}: {len(manifest['members'])} files; {rows}."
