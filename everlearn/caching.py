"""Django's cache: in each process, or Redis, which may vanish without anybody noticing."""

from __future__ import annotations

from typing import Any

from environ import Env
from redis.backoff import NoBackoff
from redis.retry import Retry

# Seconds; nothing that is asked of a cache is worth more.
PATIENCE = 0.5

SOFT = {
    # A cache that is away has nothing: what is looked up is missed, what is kept is forgotten.
    "IGNORE_EXCEPTIONS": True,
    "SOCKET_CONNECT_TIMEOUT": PATIENCE,
    "SOCKET_TIMEOUT": PATIENCE,
    # By default pickles, and whoever can write to Redis would be carried out.
    "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
}


def cache(url: str) -> dict[str, Any]:
    """Django's settings of the cache at `url`."""
    settings: dict[str, Any] = dict(Env.cache_url_config(url))
    if settings["BACKEND"] != "django_redis.cache.RedisCache":
        return settings
    # The library's own three tries take seconds in which a request would wait.
    once = {"CONNECTION_POOL_KWARGS": {"retry": Retry(NoBackoff(), 0)}}
    return {
        "KEY_PREFIX": "everlearn",
        **settings,
        "OPTIONS": SOFT | once | settings.get("OPTIONS", {}),
    }
