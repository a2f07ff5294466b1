"""Members of staff as Django's test client, and the admin's addresses."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from everlearn.sessions import PASSWORD_AT
from tests.factories import make_user


def staff(username: str, *groups: str, **fields: Any) -> Client:
    """Somebody of those groups, logged in, in a browser."""
    client = Client(HTTP_ACCEPT="text/html")
    client.force_login(make_user(username, groups=groups, is_staff=True, **fields))
    return client


def with_old_password(client: Client) -> Client:
    """The same browser when its password was typed too long ago for keys and accounts."""
    session = client.session
    session[PASSWORD_AT] -= settings.EVERLEARN_CONFIRM_PASSWORD_AFTER.total_seconds() + 1
    session.save()
    return client


def page_of(thing: Model | None, verb: str = "change") -> str:
    """The address of a row's page in the admin, or of one of the actions on it."""
    assert thing is not None
    options = thing._meta
    return reverse(f"admin:{options.app_label}_{options.model_name}_{verb}", args=[thing.pk])
