"""Logins in browsers: how long they last, where they are in use, and ending them.

Django keeps the sessions and refuses one past its end. Here that end is moved on while somebody
uses it, and a row of UserSession says whose it is. django-qsessions would do the latter, but as
another session engine: the release before could not read its sessions during an upgrade.
"""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import timedelta
from importlib import import_module

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import AbstractBaseUser, User
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from everlearn import audit
from everlearn.models import UserSession
from models_app import storing
from models_app.actors import refuse_old_password
from models_app.strangers import address_of

STARTED_AT, SEEN_AT, NOTED_KEY = "started_at", "seen_at", "noted_key"
PASSWORD_AT = "password_at"  # noqa: S105 - when it was typed
# A session is written again at most so often, and never less than ten times in its idle time.
REFRESH_SECONDS = 300.0
LONGEST_AGENT = 200
BROWSERS = {
    "Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrome": "Chrome", "Safari": "Safari",
    "curl": "curl", "python": "Python",
}  # fmt: skip


@receiver(user_logged_in)
def begin(request: HttpRequest, user: User, **_: object) -> None:
    now = time.time()
    request.session.update({STARTED_AT: now, PASSWORD_AT: now})
    request.session.pop(SEEN_AT, None)
    audit.record("login", account=user, actor=user)


@receiver(user_logged_out)
def finish(request: HttpRequest, user: AbstractBaseUser | None, **_: object) -> None:
    if user is not None:
        UserSession.objects.filter(session_key=request.session.session_key).delete()
        audit.record("logout", account=user, actor=user)


def note_use(request: HttpRequest) -> None:
    """Move the end of the session on and note where it is in use; every few minutes at most."""
    session = request.session
    # Not where no code looked at it: it would be read for this alone.
    if not session.accessed or SESSION_KEY not in session:
        return
    now = time.time()
    idle = settings.EVERLEARN_SESSION_IDLE
    step = min(REFRESH_SECONDS, idle.total_seconds() / 10)
    same = session.session_key is not None and session.get(NOTED_KEY) == session.session_key
    if same and now - session.get(SEEN_AT, 0.0) < step:
        return
    started = session.setdefault(STARTED_AT, now)
    left = timedelta(seconds=started - now) + settings.EVERLEARN_SESSION_LIFETIME
    session.set_expiry(timezone.now() + max(min(idle, left), timedelta(0)))
    session[SEEN_AT] = now
    if session.session_key is None:
        session.save()
    old, session[NOTED_KEY] = session.get(NOTED_KEY), session.session_key
    storing.in_passing(lambda: _write(request, session, old))


def _write(request: HttpRequest, session: SessionBase, old: str | None) -> None:
    now = timezone.now()
    seen = {
        "address": address_of(request.META)[:64],
        "user_agent": request.headers.get("User-Agent", "")[:LONGEST_AGENT],
        "last_seen_at": now,
    }
    key, rows = session.session_key or "", UserSession.objects
    # Another request of the same browser may write the same row at this moment.
    with suppress(IntegrityError), transaction.atomic():
        if rows.filter(session_key=key).update(**seen):
            return
        # The key changes where Django makes a session anew, as at a change of the password.
        if not rows.filter(session_key=old or "").update(session_key=key, **seen):
            rows.create(user_id=session[SESSION_KEY], session_key=key, **seen)
        rows.filter(last_seen_at__lt=now - settings.EVERLEARN_SESSION_LIFETIME).delete()


def password_is_old(session: SessionBase) -> bool:
    """Whether the password was typed longer ago than keys, accounts and overrides allow."""
    age = time.time() - session.get(PASSWORD_AT, 0.0)
    return not 0 <= age < settings.EVERLEARN_CONFIRM_PASSWORD_AFTER.total_seconds()


def confirm(session: SessionBase) -> None:
    """Note that the password was typed just now, under a new session key."""
    session[PASSWORD_AT] = time.time()
    session.cycle_key()


def live(user: User) -> QuerySet[UserSession]:
    """The sessions of `user` that would still be let in, the last used first."""
    stored = Session.objects.filter(expire_date__gt=timezone.now()).values("session_key")
    return UserSession.objects.filter(user=user, session_key__in=stored).order_by("-last_seen_at")


def current_key() -> str | None:
    """The key of the session that the request under way came with."""
    request = audit.current_request()
    return getattr(getattr(request, "session", None), "session_key", None)


def end(session: UserSession, *, detail: str = "") -> None:
    """End one session: its next request is sent to log in."""
    import_module(settings.SESSION_ENGINE).SessionStore(session.session_key).delete()
    session.delete()
    audit.record("session_ended", account=session.user, detail=detail or session.address)


def end_all(user: User, *, but: str | None = None, detail: str = "") -> int:
    """End all sessions of `user` but the one with the key `but`; returns how many."""
    ended = list(UserSession.objects.filter(user=user).exclude(session_key=but or ""))
    for session in ended:
        end(session, detail=detail)
    return len(ended)


def end_sessions_of(user: User, *, actor: User) -> int:
    """End all sessions of another user. Raises PermissionDenied or ReauthenticationRequired."""
    if not actor.has_perm("auth.change_user"):
        raise PermissionDenied("Ending the sessions of other users needs change_user.")
    refuse_old_password(actor)
    return end_all(user, detail=f"by {actor}")


def browser_of(user_agent: str) -> str:
    """The family of browsers that a User-Agent names."""
    return next((name for mark, name in BROWSERS.items() if mark in user_agent), "unknown")
