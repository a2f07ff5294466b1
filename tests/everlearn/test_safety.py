"""safety.py, checks.py and what refuses with them: W6 and O4, production with unsafe settings."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection, connections
from django.utils import timezone

from everlearn import checks, safety
from everlearn.configuration import ConfigurationError, read
from models_app.following import ALIVE_WITHIN
from models_app.models import WebProcess
from tests import environments
from tests.factories import make_user

SAFE = {
    "EVERLEARN_ENVIRONMENT": "production",
    "EVERLEARN_SECRET_KEY": "kX2-" * 4 + "9qLmZ7wPfT3vBn5sYc8dRg1hJ6aEu4oWi0",
    "EVERLEARN_ALLOWED_HOSTS": "models.example,localhost",
    "EVERLEARN_PUBLIC_URL": "https://models.example",
}
NOWHERE = Path("/nowhere")

UNSAFE = [
    ("EVERLEARN_DEBUG", "true"),
    ("EVERLEARN_SECRET_KEY", ""),
    ("EVERLEARN_SECRET_KEY", "changeme"),
    ("EVERLEARN_SECRET_KEY", "django-insecure-" + "kX29qLmZ7wPfT3vBn5sYc8dRg1hJ6aEu4oWi0p"),
    ("EVERLEARN_SECRET_KEY", "ab" * 40),
    ("EVERLEARN_BUNDLE_KEY", "kX2-" * 4 + "9qLmZ7wPfT3vBn5sYc8dRg1hJ6aEu4oWi0"),
    ("EVERLEARN_ALLOWED_HOSTS", "*"),
    ("EVERLEARN_ALLOWED_HOSTS", "localhost,*"),
    ("EVERLEARN_PUBLIC_URL", ""),
    ("EVERLEARN_PUBLIC_URL", "http://models.example"),
    ("MLFLOW_TRACKING_URI", "file:///srv/mlruns"),
    ("MLFLOW_TRACKING_URI", "./mlruns"),
    ("MLFLOW_TRACKING_URI", "http://mlflow.example:5000"),
    ("MLFLOW_TRACKING_URI", "http://10.0.0.5:5000"),
    ("MLFLOW_TRACKING_URI", "https://admin:password1234@mlflow.example"),
    ("EVERLEARN_GITHUB_API_URL", "http://github.example/api/v3"),
]


def _unsafe(**given: str) -> list[str]:
    return [found.name for found in safety.unsafe_settings(read(SAFE | given, NOWHERE))]


def _run(home: Path, *command: str, **given: str) -> subprocess.CompletedProcess[str]:
    environ = environments.of_another(home, **(SAFE | given))
    return subprocess.run(
        [sys.executable, *command],
        cwd=settings.BASE_DIR, capture_output=True, text=True, check=False, timeout=60,
        # What is empty means the default to us, but not to gunicorn.
        env={name: text for name, text in environ.items() if text},
    )  # fmt: skip


def test_a_safe_production_is_let_be() -> None:
    assert _unsafe() == []
    assert _unsafe(MLFLOW_TRACKING_URI="http://127.0.0.1:5000") == []
    assert _unsafe(MLFLOW_TRACKING_URI="https://me:x8-secret@mlflow.example") == []
    assert _unsafe(MLFLOW_TRACKING_URI="postgresql://me@db/mlflow") == []
    assert _unsafe(MLFLOW_TRACKING_URI="databricks") == []
    safety.refuse_unsafe_settings(read(SAFE, NOWHERE))


@pytest.mark.parametrize(("name", "text"), UNSAFE)
def test_production_refuses_each_unsafe_setting_by_its_name(name: str, text: str) -> None:
    """W6, O4."""
    assert _unsafe(**{name: text}) == [name]
    with pytest.raises(ConfigurationError, match=f"{name} .*: .*production"):
        safety.refuse_unsafe_settings(read(SAFE | {name: text}, NOWHERE))


@pytest.mark.parametrize(("name", "text"), UNSAFE)
def test_development_starts_with_each(name: str, text: str) -> None:
    given = SAFE | {name: text, "EVERLEARN_ENVIRONMENT": "development"}

    safety.refuse_unsafe_settings(read(given, NOWHERE))


@pytest.mark.parametrize(("installed", "found"), [("3.17.1", ["mlflow"]), ("3.17.2", [])])
def test_an_mlflow_with_a_known_hole_is_refused(installed, found, monkeypatch) -> None:
    """O4."""
    monkeypatch.setattr(safety, "version", lambda _: installed)

    assert _unsafe() == found


def test_no_word_of_a_refusal_is_a_secret(monkeypatch) -> None:
    uri = "https://admin:password1234@mlflow.example"
    given = read(SAFE | {"MLFLOW_TRACKING_URI": uri, "EVERLEARN_SECRET_KEY": "hunter2"}, NOWHERE)

    said = "\n".join(map(str, safety.unsafe_settings(given)))

    assert "hunter2" not in said
    assert "password1234" not in said


@pytest.mark.parametrize(
    "command",
    [
        ("manage.py", "up"),
        ("manage.py", "worker"),
        ("manage.py", "doctor"),
        ("-m", "gunicorn", "-c", "gunicorn.conf.py", "everlearn.wsgi"),
    ],
    ids=["up", "worker", "doctor", "gunicorn"],
)
def test_whatever_starts_is_over_at_once_with_a_line_for_each(command, tmp_path) -> None:
    """W6."""
    done = _run(tmp_path, *command, EVERLEARN_DEBUG="true", EVERLEARN_ALLOWED_HOSTS="*")

    assert done.returncode == 1
    assert [line.split()[1] for line in done.stderr.splitlines()] == [
        "EVERLEARN_DEBUG",
        "EVERLEARN_ALLOWED_HOSTS",
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.django_db
@pytest.mark.parametrize("password", ["admin", "password", "boss"])
def test_production_does_not_begin_with_a_default_password(password, settings) -> None:
    """O4."""
    user = make_user("boss", is_superuser=True)
    user.set_password(password)
    user.save()

    checks.refuse_unsafe_start()  # development
    settings.EVERLEARN_ENVIRONMENT = "production"
    with pytest.raises(ConfigurationError, match="password of boss is a default"):
        checks.refuse_unsafe_start()
    with pytest.raises(SystemCheckError, match=r"everlearn\.password"):
        call_command("check", databases=["default"])

    user.set_password("a better one")
    user.save()
    checks.refuse_unsafe_start()
    call_command("check", databases=["default"])


def test_gunicorn_and_up_refuse_a_default_password_in_one_line(tmp_path) -> None:
    """O4."""
    _run(tmp_path, "manage.py", "migrate", "-v0")
    made = "from tests.factories import make_user; make_user('admin', is_superuser=True)"
    script = f"{made}; u = __import__('django.contrib.auth.models').contrib.auth.models.User"
    script += ".objects.get(); u.set_password('admin'); u.save()"
    assert _run(tmp_path, "manage.py", "shell", "-v0", "-c", script).returncode == 0

    for command in (
        ("manage.py", "up"),
        ("-m", "gunicorn", "-c", "gunicorn.conf.py", "everlearn.wsgi"),
    ):
        done = _run(tmp_path, *command, PORT="8765")
        assert done.returncode == 1
        named = [line for line in done.stderr.splitlines() if line.startswith("everlearn:")]
        assert len(named) == 1
        assert "manage.py changepassword admin" in named[0]


@pytest.mark.django_db
def test_one_sqlite_file_for_several_hosts_is_found() -> None:
    WebProcess.objects.create(host="a", pid=1)
    WebProcess.objects.create(host="b", pid=1, seen_at=timezone.now() - timedelta(minutes=1))
    assert list(checks.one_file_many_hosts()) == []

    WebProcess.objects.create(host="c", pid=1)

    found = [unsafe.name for unsafe in checks.one_file_many_hosts()]
    assert found == (["DATABASE_URL"] if connection.vendor == "sqlite" else [])


@pytest.mark.django_db(transaction=True)
def test_production_does_not_begin_on_a_file_that_another_host_serves_from(settings) -> None:
    settings.EVERLEARN_ENVIRONMENT = "production"
    WebProcess.objects.create(host=socket.gethostname(), pid=1)
    # Killed a moment ago: it is waited for, and found to be dead.
    WebProcess.objects.create(host="b", pid=1, seen_at=timezone.now() - ALIVE_WITHIN * 0.9)
    checks.refuse_unsafe_start()

    with _alive("c"):
        if connection.vendor == "sqlite":
            with pytest.raises(
                ConfigurationError, match=r"DATABASE_URL is SQLite, and c .*postgres"
            ):
                checks.refuse_unsafe_start()
        else:
            checks.refuse_unsafe_start()


@contextmanager
def _alive(host: str) -> Iterator[None]:
    """A web process of another host that gives signs of life."""
    over = threading.Event()
    WebProcess.objects.create(host=host, pid=1)

    def live() -> None:
        while not over.wait(0.1):
            WebProcess.objects.filter(host=host).update(seen_at=timezone.now())
        connections.close_all()

    living = threading.Thread(target=live)
    living.start()
    try:
        yield
    finally:
        over.set()
        living.join()


def test_behind_a_proxy_with_tls_plain_http_is_redirected_and_cookies_are_kept_to_it(
    tmp_path,
) -> None:
    script = (
        "from django.test import Client; c = Client(headers={'host': 'localhost'});"
        "plain = c.get('/docs'); print(plain.status_code, plain['Location']);"
        "print(c.get('/health').status_code);"
        "tls = c.get('/health', headers={'x-forwarded-proto': 'https'});"
        "print(tls.status_code, tls['Strict-Transport-Security']);"
        "from django.conf import settings; print(settings.SESSION_COOKIE_SECURE)"
    )

    done = _run(
        tmp_path, "manage.py", "shell", "-v0", "-c", script,
        EVERLEARN_TLS_HEADER="X-Forwarded-Proto",
    )  # fmt: skip

    assert done.stdout.splitlines() == [
        "301 https://models.example/docs",
        "200",
        "200 max-age=2592000",
        "True",
    ], done.stderr
