"""`manage.py up`: everything, in the foreground, from an empty machine to a first prediction."""

from __future__ import annotations

import json
import secrets
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from types import FrameType
from typing import Any, Never

from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from everlearn import checks, keys
from everlearn.access import SCOPES
from everlearn.models import ApiKey
from everlearn.supervising import Busy, Supervisor, refuse_busy_port, sole_instance
from models_app.actors import system_user
from models_app.bundles import SMOKE
from models_app.lifeline import tied
from models_app.models import RegisteredModel

ADMIN = "admin"
FIRST_KEY = "up"
READY_SECONDS = 30.0


class Command(BaseCommand):
    help = "Migrate, start web and worker, apply and train the declared models, and stay."

    def handle(self, *args: Any, **options: Any) -> None:
        # SIGINT too: a shell that starts us in the background has it ignored.
        for asked_to_end in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(asked_to_end, _interrupt)
        try:
            refuse_busy_port(settings.EVERLEARN_PORT)
            with sole_instance(settings.EVERLEARN_HOME):
                self._run()
        except Busy as busy:
            raise CommandError(str(busy)) from busy

    def _run(self) -> None:
        supervisor = Supervisor()
        try:
            self.stdout.write("Preparing the database")
            call_command("migrate", interactive=False, verbosity=0)
            checks.refuse_unsafe_start()
            self.stdout.write(
                f"Starting web and worker; they log to {settings.EVERLEARN_HOME}/logs"
            )
            supervisor.start()
            self._apply()
            self._wait_until_ready()
            self._welcome()
            connections.close_all()
            supervisor.stay()
        except KeyboardInterrupt:
            self.stdout.write("Stopping")
        finally:
            supervisor.stop()

    def _apply(self) -> None:
        self.stdout.write(f"Applying {settings.EVERLEARN_MODELS}")
        self.stdout.flush()
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "apply", "--train"]
        if settings.EVERLEARN_TRAINING_BACKEND != "local":
            # What trains elsewhere needs the key that is shown when all is up.
            command.append("--no-wait")
        if subprocess.run(tied(*command), cwd=settings.BASE_DIR, check=False).returncode:
            self.stderr.write("Not all models were applied and trained; what serves goes on.")

    def _wait_until_ready(self) -> None:
        serving = RegisteredModel.objects.exclude(champion=None).filter(retired_at=None).exists()
        url = f"{_url()}{'ready' if serving else 'health'}"
        deadline = time.monotonic() + READY_SECONDS
        while not _answers(url):
            if time.monotonic() > deadline:
                return self.stderr.write(f"Not ready after {READY_SECONDS:.0f} s: see {url}")
            time.sleep(0.1)
        return None

    def _welcome(self) -> None:
        lines = [f"url:      {_url()}", f"user:     {ADMIN}"]
        # Made only now that they are shown: an interrupted start keeps no lost password.
        if password := _first_password():
            lines.append(f"password: {password}")
        key = _first_key()
        if key:
            lines.append(f"api key:  {key}")
        self.stdout.write("\n" + "\n".join(f"  {line}" for line in lines) + "\n")
        if curl := _first_request(key):
            self.stdout.write(f"\n  {curl}\n\n")
        self.stdout.write("Ctrl-C stops everything.")
        self.stdout.flush()


def _interrupt(signum: int, frame: FrameType | None) -> Never:
    raise KeyboardInterrupt


def _url() -> str:
    return f"http://127.0.0.1:{settings.EVERLEARN_PORT}/"


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own address
            return True
    except (urllib.error.URLError, OSError):
        return False


def _first_password() -> str:
    if User.objects.filter(username=ADMIN).exists():
        return ""
    password = secrets.token_urlsafe(12)
    User.objects.create_superuser(ADMIN, password=password)
    return password


def _first_key() -> str:
    if ApiKey.objects.filter(name=FIRST_KEY).exists():
        return ""
    return keys.create_key(FIRST_KEY, list(SCOPES), actor=system_user("cli"))


def _first_request(key: str) -> str:
    """A line for the shell that asks the default model about a real instance."""
    model = RegisteredModel.objects.filter(is_default=True).exclude(champion=None).first()
    if model is None or model.champion is None:
        return ""
    with default_storage.open(f"bundles/{model.champion.bundle_digest}/{SMOKE}") as smoke:
        body = json.dumps({"instances": json.load(smoke)["instances"][:1]})
    headers = ["Content-Type: application/json"]
    if not model.public:
        headers.append(f"Authorization: Bearer {key or 'YOUR-KEY'}")
    words = ["curl", "-s", f"{_url()}api/models/{model.name}/predict/"]
    for header in headers:
        words += ["-H", header]
    return shlex.join([*words, "-d", body])
