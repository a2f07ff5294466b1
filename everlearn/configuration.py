"""Every setting of an installation, in one table, from the environment and `.env`.

The environment wins over `.env`; an empty value means the default.
"""

from __future__ import annotations

import difflib
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from environ import Env

BASE_DIR = Path(__file__).resolve().parent.parent
PREFIX = "EVERLEARN_"


class ConfigurationError(Exception):
    """A setting is unknown or malformed; the message is one line that names it."""


def _path(text: str) -> Path:
    return (BASE_DIR / Path(text).expanduser()).resolve()


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _number(text: str) -> int:
    return 0 if text == "0" else _count(text)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise ValueError("not a whole number above 0")
    return int(text)


def _port(text: str) -> int:
    if not 1 <= (number := _count(text)) <= 65535:
        raise ValueError("not a port (1 to 65535)")
    return number


def _address(text: str) -> str:
    return str(ip_address(text))


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(name) for name in _names(text))


def _durability(text: str) -> str:
    if text not in ("process", "power"):
        raise ValueError("neither process nor power")
    return text


def _environment(text: str) -> str:
    if text not in ("development", "production"):
        raise ValueError("neither development nor production")
    return text


def _yes_or_no(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("neither true nor false")
    return text.lower() == "true"


def _header(text: str) -> str:
    if text and not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", text):
        raise ValueError("not the name of a header")
    return text


def _log_format(text: str) -> str:
    if text not in ("auto", "json", "line"):
        raise ValueError("not auto, json or line")
    return text


def _database_url(text: str) -> str:
    # A URL may hold a password, so no message repeats it; environ's own warnings would.
    if text and urlsplit(text).scheme not in ("sqlite", "postgres", "postgresql"):
        raise ValueError("not a sqlite:/// or postgres:// URL")
    return text


def _public_url(text: str) -> str:
    parts = urlsplit(text)
    if text and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError("not an http:// or https:// URL")
    if parts.port == 0 or parts.username or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("more than https://HOST or https://HOST:PORT")
    return text.rstrip("/")


def _cache_url(text: str) -> str:
    if urlsplit(text).scheme not in Env.CACHE_SCHEMES:
        raise ValueError("not a locmemcache:// or redis:// URL")
    return text


def _setting(name: str, parse: Callable[[str], Any], default: str, help_text: str) -> Any:
    return field(metadata={"name": name, "parse": parse, "default": default, "help": help_text})


@dataclass(frozen=True)
class Configuration:
    """What the environment says, parsed. One field is one line of `.env.example`."""

    home: Path = _setting("EVERLEARN_HOME", _path, "var", "Holds all that is written at run time.")
    environment: str = _setting(
        "EVERLEARN_ENVIRONMENT",
        _environment,
        "development",
        "development, or production, which refuses to start with settings that are unsafe.",
    )
    debug: bool = _setting(
        "EVERLEARN_DEBUG", _yes_or_no, "false", "Show code and settings in the pages of errors."
    )
    models: Path = _setting("EVERLEARN_MODELS", _path, "everlearn.toml", "The declared models.")
    secret_key: str = _setting(
        "EVERLEARN_SECRET_KEY", str, "", "Signs sessions. Made once in EVERLEARN_HOME by default."
    )
    allowed_hosts: tuple[str, ...] = _setting(
        "EVERLEARN_ALLOWED_HOSTS",
        _names,
        "localhost,127.0.0.1,[::1]",
        "Host names that requests may use, separated by commas.",
    )
    public_url: str = _setting(
        "EVERLEARN_PUBLIC_URL",
        _public_url,
        "",
        "Where people and programs reach it, for links. By default http://localhost:PORT.",
    )
    tls_header: str = _setting(
        "EVERLEARN_TLS_HEADER",
        _header,
        "",
        "Set to https by the proxy in front, as X-Forwarded-Proto; then plain HTTP is redirected.",
    )
    trusted_proxies: int = _setting(
        "EVERLEARN_TRUSTED_PROXIES",
        _number,
        "0",
        "Proxies of ours that add to X-Forwarded-For, which counts for nothing without one.",
    )
    anonymous_per_minute: int = _setting(
        "EVERLEARN_ANONYMOUS_PER_MINUTE",
        _count,
        "20000",
        "Requests without a key that each web process takes from one address.",
    )
    durability: str = _setting(
        "EVERLEARN_DURABILITY",
        _durability,
        "process",
        "What predictions survive: process (any kill) or power (loss of power too).",
    )
    concurrent_runs: int = _setting(
        "EVERLEARN_CONCURRENT_RUNS", _count, "2", "Retraining runs at the same time."
    )
    run_timeout: int = _setting(
        "EVERLEARN_RUN_TIMEOUT", _count, "3600", "Seconds that one retraining run may take."
    )
    run_memory: int = _setting(
        "EVERLEARN_RUN_MEMORY", _count, "4096", "MiB of memory that one run may take."
    )
    host: str = _setting(
        "EVERLEARN_HOST",
        _address,
        "127.0.0.1",
        "The address that the web processes listen on; 0.0.0.0 for all.",
    )
    metrics_allow: tuple[IPv4Network | IPv6Network, ...] = _setting(
        "EVERLEARN_METRICS_ALLOW",
        _networks,
        "127.0.0.1,::1",
        "Addresses or networks that may read /metrics without a key, separated by commas.",
    )
    predict_timeout: int = _setting(
        "EVERLEARN_PREDICT_TIMEOUT", _count, "10", "Seconds that a model has for an answer."
    )
    log_format: str = _setting(
        "EVERLEARN_LOG_FORMAT",
        _log_format,
        "auto",
        "How logs are written: json, line (for reading), or auto: line on a terminal, else json.",
    )
    port: int = _setting("PORT", _port, "8000", "Where the web processes listen.")
    web_processes: int = _setting("WEB_CONCURRENCY", _count, "2", "Web processes.")
    database_url: str = _setting(
        "DATABASE_URL", _database_url, "", "postgres://…; by default SQLite in EVERLEARN_HOME."
    )
    cache_url: str = _setting("CACHE_URL", _cache_url, "locmemcache://", "Django's cache.")
    mlflow_tracking_uri: str = _setting(
        "MLFLOW_TRACKING_URI", str, "", "By default SQLite in EVERLEARN_HOME."
    )
    data_url: str = _setting(
        "DATA_URL", str, "", 'Base data of the models that declare data = "env:DATA_URL".'
    )
    code_revision: str = _setting(
        "EVERLEARN_CODE_REVISION", str, "", "The commit that versions name, where git is not there."
    )
    data_allow: tuple[IPv4Network | IPv6Network, ...] = _setting(
        "EVERLEARN_DATA_ALLOW", _networks, "", "Private networks that data may be fetched from."
    )
    data_limit: int = _setting(
        "EVERLEARN_DATA_LIMIT", _count, "512", "MiB of base data that are fetched at most."
    )


def settings_table() -> tuple[Field[Any], ...]:
    """The fields of Configuration; `metadata` holds name, parse, default and help."""
    return fields(Configuration)


def read(environ: Mapping[str, str] = os.environ, dotenv: Path | None = None) -> Configuration:
    """Parse the environment and `.env`. Raises ConfigurationError on the first wrong setting."""
    given = {**_dotenv(dotenv or BASE_DIR / ".env"), **environ}
    _refuse_unknown(given)
    return Configuration(**{setting.name: _value(setting, given) for setting in settings_table()})


def _dotenv(path: Path) -> dict[str, str]:
    class File(Env):  # type: ignore[misc]  # comes without types
        # Env writes what it reads into this mapping, by default os.environ.
        ENVIRON: dict[str, str] = {}

    if path.is_file():
        File.read_env(path)
    return File.ENVIRON


def _refuse_unknown(given: Mapping[str, str]) -> None:
    known = [setting.metadata["name"] for setting in settings_table()]
    for name in sorted(given):
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0)
            raise ConfigurationError(f"{name} is not a setting; the nearest is {near[0]}")


def _value(setting: Field[Any], given: Mapping[str, str]) -> Any:
    name = setting.metadata["name"]
    text = given.get(name, "").strip() or setting.metadata["default"]
    try:
        return setting.metadata["parse"](text)
    except ValueError as error:
        raise ConfigurationError(f"{name} is malformed: {error}") from error


def is_weak(key: str) -> bool:
    """Whether a secret key is one that could be guessed, as Django's own check has it."""
    return len(key) < 50 or len(set(key)) < 5 or key.startswith("django-insecure-")


def secret_key(configuration: Configuration) -> str:
    """The key given, or the one in `secret_key` under EVERLEARN_HOME, made on first use."""
    if configuration.secret_key:
        return configuration.secret_key
    path = configuration.home / "secret_key"
    if not path.exists():
        _write_once(path, secrets.token_urlsafe(50))
    return path.read_text().strip()


def _write_once(path: Path, text: str) -> None:
    # Several processes start at once: link() makes exactly one of them win, with a whole file.
    with tempfile.NamedTemporaryFile("w", dir=path.parent) as mine:  # made with mode 0600
        mine.write(text)
        mine.flush()
        try:
            os.link(mine.name, path)
        except FileExistsError:
            return
