"""`manage.py doctor`: a line for each part, with the remedy; exit 1 when something is broken."""

from __future__ import annotations

import logging
import sys
from typing import Any

from django.core.management.base import BaseCommand

from everlearn import doctor


class Command(BaseCommand):
    help = "Look at every part and say how it is; exit 1 when something is broken."

    def handle(self, *args: Any, **options: Any) -> None:
        # What a client library logs on its way to an error would stand between our lines.
        logging.disable(logging.CRITICAL)
        try:
            whole = [self._told(finding) for finding in doctor.examine()]
        finally:
            logging.disable(logging.NOTSET)
        if not all(whole):
            sys.exit(1)

    def _told(self, finding: doctor.Finding) -> bool:
        self.stdout.write(str(finding))
        self.stdout.flush()
        return finding.state is not doctor.State.BROKEN
