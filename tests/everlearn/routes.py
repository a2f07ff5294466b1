"""The routes there are, as Django resolves them, and clients in each role that asks them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from rest_framework.test import APIClient

from everlearn import access
from everlearn.doors import ANYBODY, OWN
from everlearn.keys import create_key
from models_app.actors import system_user
from tests.factories import make_user

# What stands in an address for each kind of parameter; no row has any of them.
SAMPLES: Mapping[str, object] = {
    "StringConverter": "leaves",
    "SlugConverter": "leaves",
    "IntConverter": 1,
    "UUIDConverter": uuid.UUID("019ab8a4-0000-7000-8000-000000000000"),
    "PathConverter": "sample",
}
STAFF = ("viewer", "manager", "superuser")
ROLES = ("anonymous", "a client", "CI", *STAFF)


@dataclass(frozen=True)
class Route:
    """One pattern of the URL configuration; `name` is "" when it has none."""

    name: str
    pattern: str
    view: Callable[..., Any]
    converters: Mapping[str, object]

    @property
    def path(self) -> str:
        """An address that leads there."""
        given = {key: SAMPLES[type(kind).__name__] for key, kind in self.converters.items()}
        return reverse(self.name, kwargs=given)

    @property
    def methods(self) -> set[str]:
        """What a class answers, but for HEAD and OPTIONS; nothing known of a function."""
        kind = getattr(self.view, "view_class", None) or getattr(self.view, "cls", None)
        offered = kind.http_method_names if kind else ()
        return {
            method.upper()
            for method in offered
            if method not in ("head", "options") and hasattr(kind, method)
        }


def routes(*, admin: bool = False) -> list[Route]:
    """Every route but the admin's; with `admin`, the admin's alone."""
    found = list(_walk(get_resolver().url_patterns, Route("", "", routes, {})))
    return [route for route in found if route.pattern.startswith("admin/") == admin]


def _walk(patterns: list[Any], above: Route) -> Iterator[Route]:
    for one in patterns:
        pattern = above.pattern + str(one.pattern)
        converters = {**above.converters, **one.pattern.converters}
        if isinstance(one, URLResolver):
            namespace = f"{one.namespace}:" if one.namespace else above.name
            yield from _walk(one.url_patterns, Route(namespace, pattern, routes, converters))
        elif isinstance(one, URLPattern):
            name = f"{above.name}{one.name}" if one.name else ""
            yield Route(name, pattern, one.callback, converters)


def client_as(role: str) -> APIClient:
    """Somebody in that role, or with a key of those scopes when it is `key:a,b`."""
    # Not from this host, to which /metrics is open.
    client = APIClient(REMOTE_ADDR="192.0.2.1")
    if role in STAFF:
        client.force_login(staff_member(role))
    elif role != "anonymous":
        given = role.removeprefix("key:").split(",")
        key = create_key(
            f"test-{uuid.uuid4().hex[:12]}",
            access.USUAL_SCOPES.get(role, given),
            actor=system_user("cli"),
        )
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    return client


def staff_member(role: str) -> User:
    """A member of staff in that role."""
    groups = (role,) if role in access.GROUPS else ()
    return make_user(f"a-{role}", groups=groups, is_staff=True, is_superuser=role == "superuser")


def may(role: str, action: str) -> bool:
    """What the table says of that role and action."""
    if action == ANYBODY:
        return True
    if role == "anonymous":
        return False
    if action == OWN or role == "superuser":
        return True
    return action in (access.GROUPS.get(role) or access.USUAL_SCOPES[role])
