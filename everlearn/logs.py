"""Logs: one line a record, as JSON or for reading, with the ids of what was under way.

Nothing that was sent, asked or predicted is logged, and what the text of an error might hold of
secrets is taken out of it. Control characters are written as escapes: no value breaks a line.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from pythonjsonlogger.json import JsonFormatter

from everlearn.configuration import Configuration
from everlearn.request_id import META_KEY
from feedback_app.secrecy import without_secrets
from models_app.tracing import carried

SHORTEST_SECRET = 6
REDACTED = "[redacted]"
# What a record may carry beside its message; any other attribute stays out of the log.
IDS = ("request_id", "run", "predictions")
ACCESS = ("method", "route", "path", "status", "ms")
SECURITY = ("event", "account", "actor", "address", "detail")  # see `audit`
# Written by us alone, so that nothing has to be taken out of them.
OURS = frozenset({"at", "level", "logger", "route"})

_HIDDEN = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s'\",]+"), r"\1 " + REDACTED),
    # The part before the dot names a key and is shown in the admin.
    (re.compile(r"\b([A-Za-z0-9]{8})\.[A-Za-z0-9]{32}\b"), r"\1." + REDACTED),
    (re.compile(r"(/f/)[^/\s'\"]+"), r"\1" + REDACTED),
    (re.compile(r"(?<!\S)(/[^\s?'\"]*)\?[^\s'\"]*"), r"\1?…"),
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_WITHIN_LINES = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")


class IdsFilter(logging.Filter):
    """Puts on each record the ids of what is under way in its thread."""

    def filter(self, record: logging.LogRecord) -> bool:
        # Django speaks of a request once our middleware is through with it.
        meta = getattr(getattr(record, "request", None), "META", {})
        if META_KEY in meta:
            record.request_id = meta[META_KEY]
        for name, value in carried().items():
            setattr(record, name, value)
        return True


class Redactor:
    """Takes secrets out of text: those it was told of, and whatever looks like one."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}
        longest_first = sorted(map(re.escape, known), key=len, reverse=True)
        self.known = re.compile("|".join(longest_first)) if known else None

    def __call__(self, text: str) -> str:
        text = without_secrets(text)
        if self.known:
            text = self.known.sub(REDACTED, text)
        for pattern, instead in _HIDDEN:
            text = pattern.sub(instead, text)
        return text


class JsonLines(JsonFormatter):
    """Each record is one JSON object on one line."""

    def __init__(self, *, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self.redact = Redactor(secrets)

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        log_data["at"] = datetime.fromtimestamp(record.created, UTC).isoformat()
        log_data["level"], log_data["logger"] = record.levelname, record.name
        log_data["message"] = record.message
        told = vars(record) | message_dict
        for name in (*IDS, *ACCESS, *SECURITY, "exc_info", "stack_info"):
            if told.get(name) is not None:
                log_data[name] = told[name]

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        return {
            name: self.redact(value) if isinstance(value, str) and name not in OURS else value
            for name, value in log_data.items()
        }


class ReadableLines(logging.Formatter):
    """For a terminal: a line for the message, and a traceback below it."""

    def __init__(self, *, secrets: Iterable[str] = ()) -> None:
        super().__init__(
            "{asctime} {levelname} {name} [{request_id}] {message}",
            style="{",
            defaults={"request_id": "-"},
        )
        self.redact = Redactor(secrets)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return _CONTROL.sub(_escape, super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        return _CONTROL_WITHIN_LINES.sub(_escape, self.redact(super().format(record)))


def _escape(control: re.Match[str]) -> str:
    return f"\\u{ord(control[0]):04x}"


def secrets_of(given: Configuration) -> tuple[str, ...]:
    """The secrets among the settings: they may stand in no log, whatever an error says."""
    secrets = list(given.bundle_key_fallbacks)
    for name, value in vars(given).items():
        if not isinstance(value, str):
            continue
        if name.endswith(("secret", "token", "key", "password")):
            secrets.append(value)
        elif "://" in value and (password := urlsplit(value).password):
            secrets += [password, unquote(password)]
    return tuple(secrets)


def logging_settings(given: Configuration, *more_secrets: str) -> dict[str, Any]:
    """The settings of `logging` for every process; more_secrets: what `given` does not hold."""
    for_people = given.log_format == "line" or (given.log_format == "auto" and sys.stderr.isatty())
    shape = ReadableLines if for_people else JsonLines
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"ids": {"()": IdsFilter}},
        "formatters": {"line": {"()": shape, "secrets": (*secrets_of(given), *more_secrets)}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "line",
                "filters": ["ids"],
            }
        },
        "root": {"handlers": ["stderr"], "level": "INFO"},
        "loggers": {
            "django": {"handlers": [], "propagate": True},
            # That a request was refused is in its access line.
            "django.request": {"level": "ERROR"},
            "django.security.DisallowedHost": {"level": "CRITICAL"},
            # It warns of each answer to HEAD.
            "gunicorn.http.wsgi": {"level": "ERROR"},
            "gunicorn.error": {"handlers": [], "propagate": True},
            # It says each task twice, and a pulse goes through it every few seconds.
            "django-q": {"level": "WARNING"},
            "alembic": {"level": "WARNING"},
            "httpx": {"level": "WARNING"},
            "mlflow": {"level": "WARNING"},
            # Whoever asked says so when it has given up.
            "urllib3": {"level": "ERROR"},
        },
    }
