"""Which settings may not be so in production: each by its name, with the remedy.

Production refuses to start, development is told by `manage.py doctor`. A rule is a generator
that yields what is unsafe. None needs Django, so that gunicorn refuses before it forks; what
only the database tells is in `checks`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from ipaddress import ip_address
from urllib.parse import urlsplit

from everlearn.configuration import Configuration, ConfigurationError, is_weak

# Read and wrote any file of its host through the file store, up to this one.
MLFLOW_UNSAFE = (3, 17, 1)
# Those that people and programs leave as they were; password1234 is MLflow's own.
DEFAULT_PASSWORDS = ("admin", "password", "changeme", "password1234", "everlearn")


@dataclass(frozen=True, slots=True)
class Unsafe:
    """One thing that production must not have. name: a setting's, or what it is about."""

    name: str
    why: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.name} {self.why}: {self.remedy}"


def refuse_unsafe_settings(given: Configuration) -> None:
    """Raise ConfigurationError, a line for each unsafe setting, in production only."""
    if given.environment == "production" and (found := unsafe_settings(given)):
        raise ConfigurationError("\neverlearn: ".join(f"{one} (production)" for one in found))


def unsafe_settings(given: Configuration) -> list[Unsafe]:
    """Every setting that is not fit for production."""
    return [found for rule in SETTING_RULES for found in rule(given)]


def _debug(given: Configuration) -> Iterator[Unsafe]:
    if given.debug:
        yield Unsafe("EVERLEARN_DEBUG", "shows code and settings in error pages", "unset it")


def _secret_key(given: Configuration) -> Iterator[Unsafe]:
    remedy = "set 50 random characters or more, the same on every host"
    if not given.secret_key:
        yield Unsafe("EVERLEARN_SECRET_KEY", "is not set, and each host makes its own", remedy)
    elif is_weak(given.secret_key):
        yield Unsafe("EVERLEARN_SECRET_KEY", "is short or a default, easy to guess", remedy)


def _bundle_key(given: Configuration) -> Iterator[Unsafe]:
    if given.storage and not given.bundle_key:
        why = "is not set, and each host that shares EVERLEARN_STORAGE makes its own"
        remedy = "set 32 random characters or more, the same on every host and trainer"
        yield Unsafe("EVERLEARN_BUNDLE_KEY", why, remedy)
    elif given.bundle_key and given.bundle_key == given.secret_key:
        why = "is the secret key, which trainers must not have"
        yield Unsafe("EVERLEARN_BUNDLE_KEY", why, "set another one")


def _allowed_hosts(given: Configuration) -> Iterator[Unsafe]:
    if any("*" in host for host in given.allowed_hosts):
        remedy = "name the hosts, as example.org,localhost"
        yield Unsafe("EVERLEARN_ALLOWED_HOSTS", "has *, so requests may claim any host", remedy)


def _public_url(given: Configuration) -> Iterator[Unsafe]:
    if not given.public_url.startswith("https:"):
        why = "is not https, so logins and keys travel in the clear"
        yield Unsafe("EVERLEARN_PUBLIC_URL", why, "set https://HOST, behind a proxy with TLS")


def _mlflow_store(given: Configuration) -> Iterator[Unsafe]:
    uri = given.mlflow_tracking_uri
    if uri not in ("", "databricks") and urlsplit(uri).scheme in ("", "file"):
        remedy = "use sqlite:///…, postgresql://… or a server"
        yield Unsafe("MLFLOW_TRACKING_URI", "is a file store, which MLflow gave up", remedy)


def _mlflow_credentials(given: Configuration) -> Iterator[Unsafe]:
    parts = urlsplit(given.mlflow_tracking_uri)
    if parts.scheme not in ("http", "https"):
        return
    password = parts.password or os.environ.get("MLFLOW_TRACKING_PASSWORD")
    if password in DEFAULT_PASSWORDS:
        yield Unsafe("MLFLOW_TRACKING_URI", "comes with a default password", "change it")
    known = password or os.environ.get("MLFLOW_TRACKING_TOKEN")
    if not known and not is_this_host(parts.hostname or ""):
        why = "has no credentials, so anybody who reaches it may change models"
        remedy = "have it ask for a login, and set MLFLOW_TRACKING_USERNAME and _PASSWORD"
        yield Unsafe("MLFLOW_TRACKING_URI", why, remedy)


def is_this_host(name: str) -> bool:
    """Whether a host's name or address is one that only this host reaches."""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def _github_api(given: Configuration) -> Iterator[Unsafe]:
    parts = urlsplit(given.github_api_url)
    if parts.scheme != "https" and not is_this_host(parts.hostname or ""):
        why = "is not https, so the token of the repository travels in the clear"
        yield Unsafe("EVERLEARN_GITHUB_API_URL", why, "use https://")


def _mlflow_version(_: Configuration) -> Iterator[Unsafe]:
    installed = version("mlflow")
    numbers = tuple(int(part) for part in installed.split(".")[:3] if part.isdecimal())
    if numbers <= MLFLOW_UNSAFE:
        remedy = "install the locked dependencies (make up)"
        yield Unsafe("mlflow", f"{installed} reads files that it must not", remedy)


SETTING_RULES: tuple[Callable[[Configuration], Iterator[Unsafe]], ...] = (
    _debug,
    _secret_key,
    _bundle_key,
    _allowed_hosts,
    _public_url,
    _mlflow_store,
    _mlflow_credentials,
    _mlflow_version,
    _github_api,
)
