"""The audit log of access: who logged in, failed to, and changed whose rights, from where.

Lines of the logger `everlearn.security`, each with an event, the account that it is about, the
actor and the address. No password, key, code or session stands in one.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.http import HttpRequest

from models_app.strangers import address_of

logger = logging.getLogger("everlearn.security")

LONGEST = 150
_request: ContextVar[HttpRequest | None] = ContextVar("request", default=None)


@contextmanager
def within(request: HttpRequest) -> Iterator[None]:
    """What is recorded within the block was asked for by `request`."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


def current_request() -> HttpRequest | None:
    """The request that is under way in this thread, if one is."""
    return _request.get()


def record(event: str, *, account: object = "", actor: object = None, detail: str = "") -> None:
    """Write one line. actor: by default the user of the request that is under way, or `shell`.

    account and detail may hold what somebody typed: they are cut at 150 characters and quoted.
    """
    request = _request.get()
    told = {
        "event": event,
        "account": str(account)[:LONGEST],
        "actor": str(_user_of(request) if actor is None else actor)[:LONGEST],
        "address": _address_in(request),
        "detail": detail[:LONGEST],
    }
    words = (f"{name}={json.dumps(value)}" for name, value in told.items() if value)
    logger.info("%s", " ".join(words), extra=told)


def _address_in(request: HttpRequest | None) -> str:
    known = request is not None and "REMOTE_ADDR" in request.META
    return address_of(request.META)[:64] if request and known else ""


def _user_of(request: HttpRequest | None) -> Any:
    if request is None:
        return "shell"
    user = getattr(request, "user", None)
    return user if user is not None and user.is_authenticated else "anonymous"
