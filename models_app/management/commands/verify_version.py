"""`manage.py verify_version`: verify a version from elsewhere; the worker starts it with limits."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand

from models_app import verification
from models_app.importing import Request


class Command(BaseCommand):
    help = "Verify the version that is described as JSON on the standard input; internal."
    # It runs foreign arithmetic, and needs neither tables nor routes.
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        request = Request(**json.load(sys.stdin))
        self.stdout.write(json.dumps(verification.answer(request)))
