"""Have GitHub Actions train a run: one `repository_dispatch`.

While GitHub does not answer, the run waits in the queue and no worker is held by it.

That it was accepted is written down by handing the run over, and what is handed over is never
dispatched again. Where an acceptance was not heard of (a time-out, a worker killed just then) a
second workflow may start: both are told the run, and only the first to report on it goes on.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings

from feedback_app.attempt import Attempt
from feedback_app.models import RetrainingRun
from models_app.addresses import is_address
from models_app.refusals import Refused

WAITING = "waiting_github"
TIMEOUTS = (5, 10)  # seconds: to connect, and between two pieces of the answer
LONGEST_ANSWER = 2**16
LONGEST_MESSAGE = 200
HEADERS = {
    "Accept": "application/vnd.github+json",
    "X-GitHub-Api-Version": "2022-11-28",
    "User-Agent": "EverLearn",
}


class GitHubAway(Exception):
    """GitHub did not answer, or cannot answer now; the message is one line."""


class DispatchRefused(Refused):
    """GitHub answered that it will not; asking again would not help."""

    default_code = "github_refused"


def dispatch(attempt: Attempt) -> None:
    """Have a workflow started for a run. Raises LeaseLost, GitHubAway and DispatchRefused."""
    attempt.progress("dispatch", 0, 1)
    _ask("POST", "/dispatches", _event(attempt.run))


def try_access() -> None:
    """See whether GitHub shows the repository to our token. Raises GitHubAway, DispatchRefused."""
    _ask("GET", "")


def _event(run: RetrainingRun) -> dict[str, Any]:
    payload = {"model": run.registered_model.name, "run": run.pk, "reason": run.reason}
    # A path of this machine says nothing elsewhere; what it held is in the frozen rows.
    if is_address(run.data):
        payload["data_url"] = run.data
    return {"event_type": settings.EVERLEARN_GITHUB_EVENT, "client_payload": payload}


def _ask(method: str, path: str, body: dict[str, Any] | None = None) -> None:
    """Ask something about the repository; return when it was granted."""
    api = settings.EVERLEARN_GITHUB_API_URL
    try:
        with requests.request(
            method,
            f"{api}/repos/{settings.EVERLEARN_GITHUB_REPOSITORY}{path}",
            json=body,
            headers=HEADERS,
            auth=_bearer,
            timeout=TIMEOUTS,
            allow_redirects=False,
            stream=True,
        ) as answer:
            status = answer.status_code
            message = "" if answer.ok else _message(answer)
    except requests.RequestException as error:
        # Its text may hold the password of a proxy.
        why = "took too long" if isinstance(error, requests.Timeout) else "cannot be reached"
        raise GitHubAway(f"{urlsplit(api).netloc} {why}") from None
    said = f"{urlsplit(api).netloc} answered {status}{message}"
    if status >= 500:
        raise GitHubAway(said)
    if status not in (200, 204):
        raise DispatchRefused(said)


def _bearer(request: requests.PreparedRequest) -> requests.PreparedRequest:
    # Given as a header, it would have to yield to a password in somebody's .netrc.
    request.headers["Authorization"] = f"Bearer {settings.REPO_TOKEN}"
    return request


def _message(answer: requests.Response) -> str:
    """What GitHub said, and when it will listen again, for the error that people read."""
    said = ""
    # The status stands, whatever becomes of the rest.
    with suppress(ValueError, AttributeError, requests.RequestException):
        content = next(answer.iter_content(LONGEST_ANSWER), b"")
        said = " ".join(str(json.loads(content).get("message", "")).split())
    # Nobody should have sent the token back; were it so, it would stand in the database.
    said = said.replace(settings.REPO_TOKEN, "…")[:LONGEST_MESSAGE]
    return (f": {said}" if said else "") + _patience(answer)


def _patience(answer: requests.Response) -> str:
    after = answer.headers.get("Retry-After", "")
    if after.isdecimal():
        return f" (again in {int(after)} s)"
    reset = answer.headers.get("X-RateLimit-Reset", "")
    if answer.headers.get("X-RateLimit-Remaining") == "0" and reset.isdecimal():
        with suppress(ValueError, OverflowError, OSError):
            return f" (again at {datetime.fromtimestamp(int(reset), UTC).isoformat()})"
    return ""
