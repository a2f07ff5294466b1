"""An installation of the demo's own, and a client of it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import requests

ROOT = Path(__file__).parent.parent.parent


class Service:
    """The running installation, as a client with a key sees it, and as staff in a browser do."""

    def __init__(self, url: str, key: str, password: str) -> None:
        self.url = url.rstrip("/")
        self.client = requests.Session()
        self.client.headers["Authorization"] = f"Bearer {key}"
        self.password = password

    def get(self, path: str) -> Any:
        return self._checked(self.client.get(f"{self.url}/api/{path}", timeout=60))

    def post(self, path: str, body: Any) -> Any:
        return self._checked(self.client.post(f"{self.url}/api/{path}", json=body, timeout=60))

    def predict(self, rows: pd.DataFrame) -> list[dict[str, Any]]:
        """The predictions for some rows, in their order."""
        body = {"instances": rows.to_dict(orient="records")}
        predictions: list[dict[str, Any]] = self.post("models/digits/predict/", body)["predictions"]
        return predictions

    def reload(self) -> None:
        """Return once every web process has what serves; they would by themselves in a second."""
        self.post("models/digits/reload/", {})

    def override(self, version: int, reason: str) -> Any:
        """Promote against the gate's word, which only staff in a browser can."""
        browser = requests.Session()
        login = f"{self.url}/admin/login/"
        browser.get(login, timeout=60)
        form = {"username": "admin", "password": self.password, **self._csrf(browser)}
        browser.post(login, data=form, headers={"Referer": login}, timeout=60)
        body: Any = {"version": version, "reason": reason, "override": True}
        headers = {"Referer": login, "X-CSRFToken": self._csrf(browser)["csrfmiddlewaretoken"]}
        promote = f"{self.url}/api/models/digits/promote/"
        return self._checked(browser.post(promote, json=body, headers=headers, timeout=60))

    @staticmethod
    def _csrf(browser: requests.Session) -> dict[str, str]:
        token = next(cookie.value for cookie in browser.cookies if "csrf" in cookie.name)
        return {"csrfmiddlewaretoken": token or ""}

    @staticmethod
    def _checked(answer: requests.Response) -> Any:
        if not answer.ok:
            raise RuntimeError(f"{answer.request.url} answered {answer.status_code}: {answer.text}")
        return answer.json()


@contextmanager
def installation(home: Path) -> Iterator[Service]:
    """`manage.py up` with what `home` declares, on a free port; its service once it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "EVERLEARN_HOME": str(home / "var"),
        "EVERLEARN_MODELS": str(home / "everlearn.toml"),
        # Whatever this machine uses otherwise is none of the demo's business.
        "DATABASE_URL": "",
        "MLFLOW_TRACKING_URI": "",
        "PORT": str(port),
    }
    up = subprocess.Popen(
        [sys.executable, ROOT / "manage.py", "up"],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield _service(up)
    finally:
        up.terminate()
        up.communicate(timeout=30)


def _service(up: subprocess.Popen[str]) -> Service:
    said: dict[str, str] = {}
    for line in up.stdout or ():
        name, _, value = line.strip().partition(":")
        said[name] = value.strip()
        if line.startswith("Ctrl-C"):
            return Service(said["url"], said["api key"], said["password"])
    raise RuntimeError("the installation did not start; see above")
