"""The running EverLearn that a training elsewhere is for, as its HTTP API shows it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
from django.conf import settings

from feedback_app.pauses import growing

FIRST_CONTACT = 15.0  # seconds that a service may be away before anything was done
LATER = 120.0  # seconds that it may be away once something was
TIME_OUTS = (5.0, 30.0)  # seconds to connect, and of silence
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 10.0
LONGEST_REASON = 300
PASSING = frozenset({429, 502, 503, 504})
REMEDIES = {
    401: "EVERLEARN_API_KEY is not a key of this service",
    403: "EVERLEARN_API_KEY lacks a scope (it needs retrain and reload)",
}
_DOOR = re.compile(r"/(?:reload-model|api/models/[^/]+/reload)/?$")


class ServiceRefused(Exception):
    """The service said no; the message is one line. code: the API's, or "" for none."""

    def __init__(self, why: str, *, code: str = "") -> None:
        super().__init__(why)
        self.code = code


class ServiceAway(ServiceRefused):
    """The service did not answer, or not yet as it should, for as long as we waited."""


def configured() -> Service | None:
    """The service that the settings name; None when they name none.

    Raises ServiceRefused when they do so by half.
    """
    url, key = settings.HOT_RELOAD_URL, settings.EVERLEARN_API_KEY
    if bool(url) != bool(key):
        missing, given = ("HOT_RELOAD_URL", "EVERLEARN_API_KEY") if key else (
            "EVERLEARN_API_KEY", "HOT_RELOAD_URL"
        )  # fmt: skip
        raise ServiceRefused(f"{given} is set, but {missing} is not")
    return Service(url, key) if url else None


@dataclass(frozen=True, slots=True)
class Service:
    """reload_url: HOT_RELOAD_URL; what comes before its last part is where the API is."""

    reload_url: str
    key: str = field(repr=False)

    @property
    def address(self) -> str:
        """Where the service's routes begin."""
        return _DOOR.sub("", self.reload_url)

    def announce(self, model: str, reason: str) -> int:
        """The run that the service will hand over to us, or the active one that there is."""
        body = {"reason": reason, "external": True}
        answer = self._ask("POST", f"/api/models/{model}/retrain/", FIRST_CONTACT, json=body)
        return int(answer.json()["run"])

    def report(
        self, run: int, said: Mapping[str, Any], *, patience: float = LATER
    ) -> dict[str, Any]:
        """Say how far the run is, and return it as the service has it now."""
        answer = self._ask("POST", f"/api/runs/{run}/report/", patience, json=dict(said))
        told: dict[str, Any] = answer.json()
        return told

    def training_data(self, model: str, run: int) -> bytes:
        """The Parquet file of what the run froze."""
        path = f"/api/models/{model}/training-data/?format=parquet&run={run}"
        return self._ask("GET", path, LATER).content

    def serving(self, model: str) -> int | None:
        """The version that answers; None for none, or where the key may not read that."""
        try:
            told = self._ask("GET", f"/api/models/{model}/", FIRST_CONTACT).json()
        except ServiceRefused:
            return None
        number: int | None = told["version"]
        return number

    def reload(self) -> dict[str, Any]:
        """Call HOT_RELOAD_URL: who serves looks into MLflow, and loads what is to serve."""
        told: dict[str, Any] = self._ask("POST", "", FIRST_CONTACT).json()
        return told

    def _ask(self, method: str, path: str, patience: float, **options: Any) -> requests.Response:
        """An answer that is no refusal; what may pass is tried again for `patience` seconds."""
        address = self.address + path if path else self.reload_url
        deadline = time.monotonic() + patience
        for pause in growing(FIRST_PAUSE, LONGEST_PAUSE):
            try:
                answer = requests.request(
                    method, address, auth=self._sign, timeout=TIME_OUTS, allow_redirects=False,
                    **options,
                )  # fmt: skip
            except requests.RequestException as error:
                why, wait = f"the service at {self.address} {_in_words(error)}", pause
            else:
                if answer.ok and not answer.is_redirect:
                    return answer
                refusal = self._refusal(answer)
                if answer.status_code not in PASSING and "Retry-After" not in answer.headers:
                    raise refusal
                why, wait = str(refusal), _seconds(answer, pause)
            if time.monotonic() + wait > deadline:
                raise ServiceAway(why)
            time.sleep(wait)
        raise AssertionError("the pauses never end")

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # As an `auth`, so that no .netrc of the machine takes its place.
        request.headers["Authorization"] = f"Bearer {self.key}"
        return request

    def _refusal(self, answer: requests.Response) -> ServiceRefused:
        code, detail = _said(answer)
        if answer.is_redirect:
            detail = "it sends us elsewhere; let HOT_RELOAD_URL be the address it really has"
        detail = REMEDIES.get(answer.status_code, detail)
        why = f"the service at {self.address} answered {answer.status_code}: {detail}"
        return ServiceRefused(why, code=code)


def _said(answer: requests.Response) -> tuple[str, str]:
    """Code and sentence of the API's first error, on one line."""
    try:
        first = answer.json()["errors"][0]
        return str(first["code"]), " ".join(str(first["detail"]).split())[:LONGEST_REASON]
    except (ValueError, KeyError, IndexError, TypeError):
        return "", answer.reason or "no more was said"


def _in_words(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return f"did not answer within {TIME_OUTS[1]:.0f} s"
    return f"cannot be reached ({type(error).__name__})"


def _seconds(answer: requests.Response, usual: float) -> float:
    """How long to leave the service alone: as it says, within bounds."""
    said = answer.headers.get("Retry-After", "")
    return min(float(said), LONGEST_PAUSE) if said.isdecimal() else usual
