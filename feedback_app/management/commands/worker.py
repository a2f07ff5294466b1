"""`manage.py worker`: the background half of EverLearn."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from feedback_app.worker import Worker


class Command(BaseCommand):
    help = "Work through the queue, watch that it moves, and keep MLflow in agreement."

    def handle(self, *args: Any, **options: Any) -> None:
        Worker().run()
