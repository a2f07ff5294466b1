"""The web half of EverLearn alone, with a champion of the model `leaves`."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil
from django.conf import settings

from tests import environments
from tests.instance import wait_for

CHAMPION = "from tests.factories import make_champion; make_champion()"


class Gunicorn:
    """gunicorn as an installation runs it; killed at the end of the `with` block."""

    def __init__(self, home: Path, **environ: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home / "log"
        self.environ = environments.without_defaults(
            environments.of_another(home, PORT=str(self.port), **environ)
        )

    def __enter__(self) -> Self:
        for command in (["migrate", "-v0"], ["shell", "-v0", "-c", CHAMPION]):
            manage = [sys.executable, "manage.py", *command]
            subprocess.run(manage, cwd=settings.BASE_DIR, env=self.environ, check=True)
        with self.log.open("w") as log:
            self.process = psutil.Popen(
                [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "everlearn.wsgi"],
                cwd=settings.BASE_DIR, env=self.environ, stdout=log, stderr=log,
            )  # fmt: skip
        wait_for(self.ready, 60)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self.process.is_running():
            self.process.kill()
            self.process.wait()

    def ready(self) -> bool:
        """Whether it answers 200 to /ready."""
        try:
            return httpx.get(f"{self.url}/ready", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False
