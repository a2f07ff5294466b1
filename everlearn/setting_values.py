"""What a setting's text may be: each function gives its value, or raises ValueError.

The message says what is wrong with the text without repeating it, since it may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import field
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from environ import Env

from models_app import signing_keys
from models_app.learning.triggers import parse_duration

LONGEST_KEPT = timedelta(days=36500)
BASE_DIR = Path(__file__).resolve().parent.parent


def setting(name: str, parse: Callable[[str], Any], default: str, help_text: str) -> Any:
    """A field of `Configuration`."""
    return field(metadata={"name": name, "parse": parse, "default": default, "help": help_text})


def path(text: str) -> Path:
    return (BASE_DIR / Path(text).expanduser()).resolve()


def names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def number(text: str) -> int:
    return 0 if text == "0" else count(text)


def count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise ValueError("not a whole number above 0")
    return int(text)


def duration(text: str) -> timedelta:
    if (parsed := parse_duration(text)) <= timedelta(0):
        raise ValueError("not longer than 0 s")
    return parsed


def digits(text: str) -> int | None:
    if text == "off":
        return None
    if text not in tuple(map(str, range(16))):
        raise ValueError("not a whole number from 0 to 15, or off")
    return int(text)


def retention(text: str) -> timedelta | None:
    """How long something is kept; None for ever."""
    if text == "off":
        return None
    try:
        kept = parse_duration(text)
    except (ValueError, OverflowError):
        raise ValueError("neither a duration, as 90d, nor off") from None
    if not timedelta(days=1) <= kept <= LONGEST_KEPT:
        raise ValueError(f"not from 1d to {LONGEST_KEPT.days}d; off keeps it for ever")
    return kept


def port(text: str) -> int:
    if not 1 <= (number := count(text)) <= 65535:
        raise ValueError("not a port (1 to 65535)")
    return number


def address(text: str) -> str:
    return str(ip_address(text))


def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(name) for name in names(text))


def durability(text: str) -> str:
    if text not in ("process", "power"):
        raise ValueError("neither process nor power")
    return text


def environment(text: str) -> str:
    if text not in ("development", "production"):
        raise ValueError("neither development nor production")
    return text


def yes_or_no(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("neither true nor false")
    return text.lower() == "true"


def header(text: str) -> str:
    if text and not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", text):
        raise ValueError("not the name of a header")
    return text


def log_format(text: str) -> str:
    if text not in ("auto", "json", "line"):
        raise ValueError("not auto, json or line")
    return text


def database_url(text: str) -> str:
    # A URL may hold a password, so no message repeats it; environ's own warnings would.
    if text and urlsplit(text).scheme not in ("sqlite", "postgres", "postgresql"):
        raise ValueError("not a sqlite:/// or postgres:// URL")
    return text


def storage(text: str) -> str:
    parts = urlsplit(text)
    if text and (parts.scheme != "s3" or not parts.hostname):
        raise ValueError("not an s3://BUCKET or s3://BUCKET/PREFIX URL")
    if "@" in parts.netloc or ":" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("more than s3://BUCKET/PREFIX; AWS_ENDPOINT_URL_S3 names another server")
    return text.rstrip("/")


def public_url(text: str) -> str:
    parts = urlsplit(text)
    if text and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError("not an http:// or https:// URL")
    if parts.port == 0 or parts.username or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("more than https://HOST or https://HOST:PORT")
    return text.rstrip("/")


def reload_url(text: str) -> str:
    parts = urlsplit(text)
    if text and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError("not an http:// or https:// URL")
    if text and not re.search(r"/(reload-model|api/models/[^/]+/reload)/?$", parts.path):
        raise ValueError("not …/reload-model or …/api/models/NAME/reload/")
    if parts.username or parts.query or parts.fragment:
        raise ValueError("more than https://HOST/reload-model")
    return text


def cache_url(text: str) -> str:
    if urlsplit(text).scheme not in Env.CACHE_SCHEMES:
        raise ValueError("not a locmemcache:// or redis:// URL")
    return text


def training_backend(text: str) -> str:
    if text not in ("local", "github"):
        raise ValueError("neither local nor github")
    return text


def repository(text: str) -> str:
    if text and not re.fullmatch(r"[A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100}", text):
        raise ValueError("not OWNER/NAME")
    return text


def api_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("not an http:// or https:// URL")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("more than https://HOST or https://HOST/PATH")
    return text.rstrip("/")


def event(text: str) -> str:
    if not re.fullmatch(r"[\w.-]{1,100}", text, re.ASCII):
        raise ValueError("not up to 100 letters, digits, dots and dashes")
    return text


def token(text: str) -> str:
    if text and not re.fullmatch("[!-~]+", text):
        raise ValueError("it has spaces, or characters that no token has")
    return text


def bundle_key(text: str) -> str:
    return signing_keys.checked(text) if text else ""


def bundle_keys(text: str) -> tuple[str, ...]:
    return tuple(signing_keys.checked(key) for key in names(text))


def artifact_roots(text: str) -> tuple[str, ...]:
    roots = names(text)
    for root in roots:
        parts = urlsplit(root)
        if not parts.scheme or not (parts.netloc or parts.path.strip("/")):
            raise ValueError("not SCHEME://BUCKET/PREFIX or file:///FOLDER")
        if "@" in parts.netloc or parts.query or parts.fragment or ".." in root:
            raise ValueError("more than SCHEME://BUCKET/PREFIX")
    return tuple(root.rstrip("/") for root in roots)
