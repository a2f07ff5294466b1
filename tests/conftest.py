"""Fixtures for all tests; rows are made by `tests.factories`."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connection
from django.test import Client
from pytest_django import DjangoDbBlocker
from rest_framework.test import APIClient

from everlearn.authentication import KeyAuthentication
from everlearn.keys import create_key
from models_app.actors import system_user
from models_app.usage import tracker
from tests import databases
from tests.staff import staff

KeyMaker = Callable[..., APIClient]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What touches no database has been tested on SQLite; a browser sees no difference."""
    if databases.suite_is_on() == "sqlite":
        return
    kept = [item for item in items if _touches_database(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def _touches_database(item: pytest.Item) -> bool:
    fixtures = set(getattr(item, "fixturenames", ()))
    if "browser" in fixtures:
        return False
    return bool(item.get_closest_marker("django_db") or fixtures & {"db", "transactional_db"})


@pytest.fixture(scope="session")
def django_db_modify_db_settings_xdist_suffix() -> None:
    """Each test process has a database of its own: no suffix is needed."""


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """PostgreSQL drops no database that a thread of some test is still connected to."""
    yield
    if databases.suite_is_on() == "postgres":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


@pytest.fixture(autouse=True)
def _forget_keys() -> Iterator[None]:
    yield
    KeyAuthentication.remembered.clear()
    tracker.forget()


@pytest.fixture
def one_connection(db: None) -> Iterator[None]:
    """The test's transaction outlives requests to the bare WSGI application."""
    # As Django's own test client does.
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture
def api() -> APIClient:
    """A client that sends JSON and no key."""
    return APIClient()


@pytest.fixture
def key(db: None) -> Callable[..., str]:
    """key("read", "predict") makes an API key of those scopes, with an account of its own."""
    return lambda *scopes: create_key(
        f"test-{uuid.uuid4().hex[:12]}", scopes, actor=system_user("cli")
    )


@pytest.fixture
def client_with(key: Callable[..., str]) -> KeyMaker:
    """client_with("promote") is a client that sends a key of those scopes."""

    def make(*scopes: str) -> APIClient:
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {key(*scopes)}")
        return client

    return make


@pytest.fixture
def viewer(db: None) -> Client:
    """A member of the group viewer in a browser."""
    return staff("vera", "viewer")


@pytest.fixture
def manager(db: None) -> Client:
    """A member of the group manager in a browser."""
    return staff("max", "manager")


@pytest.fixture
def boss(db: None) -> Client:
    """A superuser in a browser."""
    return staff("boss", is_superuser=True)
