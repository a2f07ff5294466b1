"""`manage.py sync [MODEL]`: mirror MLflow's registry into the database now."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app import reconciling, registry
from models_app.management.acting import named_model


class Command(BaseCommand):
    help = "Mirror MLflow's registry into the database, and our aliases into MLflow."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", nargs="?")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = [named_model(options["model"])] if options["model"] else None
        try:
            reconciling.reconcile(chosen)
        except registry.RegistryAway as away:
            raise CommandError(str(away)) from away
        self.stdout.write(f"In agreement with MLflow at {registry.tracking_uri()}.")
