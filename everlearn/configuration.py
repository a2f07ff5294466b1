"""Every setting of an installation, in one table, from the environment and `.env`.

The environment wins over `.env`; an empty value means the default.
"""

from __future__ import annotations

import difflib
import os
import secrets
from collections.abc import Mapping
from dataclasses import Field, dataclass, fields
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from environ import Env

from everlearn import setting_values as values
from everlearn.limit_settings import LimitSettings
from models_app import signing_keys

BASE_DIR = values.BASE_DIR
PREFIX = "EVERLEARN_"


class ConfigurationError(Exception):
    """A setting is unknown or malformed; the message is one line that names it."""


_setting = values.setting


@dataclass(frozen=True)
class Configuration(LimitSettings):
    """What the environment says, parsed. One field is one line of `.env.example`."""

    home: Path = _setting(
        "EVERLEARN_HOME", values.path, "var", "Holds all that is written at run time."
    )
    environment: str = _setting(
        "EVERLEARN_ENVIRONMENT",
        values.environment,
        "development",
        "development, or production, which refuses to start with settings that are unsafe.",
    )
    storage: str = _setting(
        "EVERLEARN_STORAGE",
        values.storage,
        "",
        "s3://BUCKET/PREFIX for bundles, snapshots and batches; by default in EVERLEARN_HOME.",
    )
    debug: bool = _setting(
        "EVERLEARN_DEBUG",
        values.yes_or_no,
        "false",
        "Show code and settings in the pages of errors.",
    )
    models: Path = _setting(
        "EVERLEARN_MODELS", values.path, "everlearn.toml", "The declared models."
    )
    secret_key: str = _setting(
        "EVERLEARN_SECRET_KEY", str, "", "Signs sessions. Made once in EVERLEARN_HOME by default."
    )
    bundle_key: str = _setting(
        "EVERLEARN_BUNDLE_KEY",
        values.bundle_key,
        "",
        "Signs what may serve; trainers elsewhere need it. Made once in EVERLEARN_HOME by default.",
    )
    bundle_key_fallbacks: tuple[str, ...] = _setting(
        "EVERLEARN_BUNDLE_KEY_FALLBACKS",
        values.bundle_keys,
        "",
        "Older keys that are accepted while manage.py rotate_bundle_key signs anew, by commas.",
    )
    artifact_roots: tuple[str, ...] = _setting(
        "EVERLEARN_ARTIFACT_ROOTS",
        values.artifact_roots,
        "",
        "Where else MLflow keeps files that may be fetched: s3://BUCKET/PREFIX, by commas.",
    )
    allowed_hosts: tuple[str, ...] = _setting(
        "EVERLEARN_ALLOWED_HOSTS",
        values.names,
        "localhost,127.0.0.1,[::1]",
        "Host names that requests may use, separated by commas.",
    )
    public_url: str = _setting(
        "EVERLEARN_PUBLIC_URL",
        values.public_url,
        "",
        "Where people and programs reach it, for links. By default http://localhost:PORT.",
    )
    tls_header: str = _setting(
        "EVERLEARN_TLS_HEADER",
        values.header,
        "",
        "Set to https by the proxy in front, as X-Forwarded-Proto; then plain HTTP is redirected.",
    )
    trusted_proxies: int = _setting(
        "EVERLEARN_TRUSTED_PROXIES",
        values.number,
        "0",
        "Proxies of ours that add to X-Forwarded-For, which counts for nothing without one.",
    )
    anonymous_per_minute: int = _setting(
        "EVERLEARN_ANONYMOUS_PER_MINUTE",
        values.count,
        "20000",
        "Requests without a key that each web process takes from one address.",
    )
    connections_per_network: int = _setting(
        "EVERLEARN_CONNECTIONS_PER_NETWORK",
        values.number,
        "250",
        "Connections that each web process holds open for one network; 0 for any number.",
    )
    session_idle: timedelta = _setting(
        "EVERLEARN_SESSION_IDLE",
        values.duration,
        "12h",
        "A login of staff ends after so long without a request, as 30m, 12h or 1d.",
    )
    session_lifetime: timedelta = _setting(
        "EVERLEARN_SESSION_LIFETIME",
        values.duration,
        "14d",
        "A login of staff ends after so long, however much it is used.",
    )
    confirm_password_after: timedelta = _setting(
        "EVERLEARN_CONFIRM_PASSWORD_AFTER",
        values.duration,
        "15m",
        "Keys, accounts and overrides need a password that was typed within so long.",
    )
    require_totp: bool = _setting(
        "EVERLEARN_REQUIRE_TOTP",
        values.yes_or_no,
        "false",
        "Whether staff must log in with a code of an authenticator app (TOTP) as well.",
    )
    durability: str = _setting(
        "EVERLEARN_DURABILITY",
        values.durability,
        "process",
        "What predictions survive: process (any kill) or power (loss of power too).",
    )
    concurrent_runs: int = _setting(
        "EVERLEARN_CONCURRENT_RUNS", values.count, "2", "Retraining runs at the same time."
    )
    run_timeout: int = _setting(
        "EVERLEARN_RUN_TIMEOUT", values.count, "3600", "Seconds that one retraining run may take."
    )
    run_memory: int = _setting(
        "EVERLEARN_RUN_MEMORY", values.count, "4096", "MiB of memory that one run may take."
    )
    host: str = _setting(
        "EVERLEARN_HOST",
        values.address,
        "127.0.0.1",
        "The address that the web processes listen on; 0.0.0.0 for all.",
    )
    metrics_allow: tuple[IPv4Network | IPv6Network, ...] = _setting(
        "EVERLEARN_METRICS_ALLOW",
        values.networks,
        "127.0.0.1,::1",
        "Addresses or networks that may read /metrics without a key, separated by commas.",
    )
    predict_timeout: int = _setting(
        "EVERLEARN_PREDICT_TIMEOUT", values.count, "10", "Seconds that a model has for an answer."
    )
    log_format: str = _setting(
        "EVERLEARN_LOG_FORMAT",
        values.log_format,
        "auto",
        "How logs are written: json, line (for reading), or auto: line on a terminal, else json.",
    )
    port: int = _setting("PORT", values.port, "8000", "Where the web processes listen.")
    web_processes: int = _setting("WEB_CONCURRENCY", values.count, "2", "Web processes.")
    database_url: str = _setting(
        "DATABASE_URL",
        values.database_url,
        "",
        "postgres://…; by default SQLite in EVERLEARN_HOME.",
    )
    cache_url: str = _setting("CACHE_URL", values.cache_url, "locmemcache://", "Django's cache.")
    mlflow_tracking_uri: str = _setting(
        "MLFLOW_TRACKING_URI", str, "", "By default SQLite in EVERLEARN_HOME."
    )
    data_url: str = _setting(
        "DATA_URL", str, "", 'Base data of the models that declare data = "env:DATA_URL".'
    )
    hot_reload_url: str = _setting(
        "HOT_RELOAD_URL",
        values.reload_url,
        "",
        "Where a training elsewhere finds the service: https://HOST/reload-model.",
    )
    api_key: str = _setting(
        "EVERLEARN_API_KEY",
        str,
        "",
        "The key that it shows there, with the scopes retrain and reload.",
    )
    training_backend: str = _setting(
        "EVERLEARN_TRAINING_BACKEND",
        values.training_backend,
        "local",
        "Where runs are trained: local, or github, by a workflow that each of them starts.",
    )
    github_repository: str = _setting(
        "EVERLEARN_GITHUB_REPOSITORY",
        values.repository,
        "",
        "The repository whose workflow trains, as OWNER/NAME.",
    )
    github_api_url: str = _setting(
        "EVERLEARN_GITHUB_API_URL", values.api_url, "https://api.github.com", "GitHub's API."
    )
    github_event: str = _setting(
        "EVERLEARN_GITHUB_EVENT",
        values.event,
        "retrain",
        "The type of the repository_dispatch that starts the workflow.",
    )
    repo_token: str = _setting(
        "REPO_TOKEN", values.token, "", "May write to that repository's contents: a secret."
    )
    code_revision: str = _setting(
        "EVERLEARN_CODE_REVISION", str, "", "The commit that versions name, where git is not there."
    )
    data_allow: tuple[IPv4Network | IPv6Network, ...] = _setting(
        "EVERLEARN_DATA_ALLOW",
        values.networks,
        "",
        "Private networks that data may be fetched from.",
    )
    data_limit: int = _setting(
        "EVERLEARN_DATA_LIMIT", values.count, "512", "MiB of base data that are fetched at most."
    )
    data_timeout: int = _setting(
        "EVERLEARN_DATA_TIMEOUT", values.count, "600", "Seconds that base data may take to arrive."
    )
    data_look: int = _setting(
        "EVERLEARN_DATA_LOOK",
        values.count,
        "60",
        "Seconds between two looks at a data source whose new rows are waited for.",
    )


def settings_table() -> tuple[Field[Any], ...]:
    """The fields of Configuration; `metadata` holds name, parse, default and help."""
    return fields(Configuration)


def read(environ: Mapping[str, str] = os.environ, dotenv: Path | None = None) -> Configuration:
    """Parse the environment and `.env`. Raises ConfigurationError on the first wrong setting."""
    given = {**_dotenv(dotenv or BASE_DIR / ".env"), **environ}
    _refuse_unknown(given)
    parsed = {setting.name: _value(setting, given) for setting in settings_table()}
    configuration = Configuration(**parsed)
    _refuse_half_a_backend(configuration)
    _refuse_malformed_key_file(configuration)
    return configuration


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


def _refuse_half_a_backend(configuration: Configuration) -> None:
    if configuration.training_backend != "github":
        return
    needed = {
        "EVERLEARN_GITHUB_REPOSITORY": configuration.github_repository,
        "REPO_TOKEN": configuration.repo_token,
    }
    for name, value in needed.items():
        if not value:
            raise ConfigurationError(f"{name} is needed by EVERLEARN_TRAINING_BACKEND=github")


def _refuse_malformed_key_file(configuration: Configuration) -> None:
    path = configuration.home / signing_keys.FILE
    if configuration.bundle_key or not path.exists():
        return
    try:
        signing_keys.read(path)
    except (ValueError, OSError) as error:
        raise ConfigurationError(
            f"{path} holds no usable bundle key: {error}; restore the file from a backup, or set "
            "EVERLEARN_BUNDLE_KEY"
        ) from error


def is_weak(key: str) -> bool:
    """Whether a secret key is one that could be guessed, as Django's own check has it."""
    return len(key) < 50 or len(set(key)) < 5 or key.startswith("django-insecure-")


def new_secret_key() -> str:
    """A secret key of 400 random bits."""
    return secrets.token_urlsafe(50)


def secret_key(configuration: Configuration) -> str:
    """The key given, or the one in `secret_key` under EVERLEARN_HOME, made on first use."""
    if configuration.secret_key:
        return configuration.secret_key
    path = configuration.home / "secret_key"
    if not path.exists():
        signing_keys.write_once(path, new_secret_key())
    return path.read_text().strip()


def make_bundle_key(configuration: Configuration) -> None:
    """Make the file of the key that signs bundles, unless there is one or the setting has it."""
    path = configuration.home / signing_keys.FILE
    if not configuration.bundle_key and not path.exists():
        signing_keys.write_once(path, signing_keys.new_key() + "\n")
