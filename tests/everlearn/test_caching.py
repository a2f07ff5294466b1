"""everlearn/caching.py, on a Redis of the test's own that is flushed, stalled and killed."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis
from django.core.cache import CacheHandler, cache
from django_q.brokers import get_broker

from everlearn.caching import cache as cache_settings
from tests.instance import wait_for

pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def redis_server(port: int) -> Iterator[subprocess.Popen[bytes]]:
    words = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, cwd="/")
    try:
        client = redis.Redis(port=port)
        wait_for(lambda: _pings(client), 20)
        client.close()
        yield process
    finally:
        process.kill()
        process.wait()


def _pings(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


@pytest.fixture
def port(settings) -> int:
    """Django's cache is at this port, where nothing answers yet."""
    port = free_port()
    settings.CACHES = {"default": cache_settings(f"redis://127.0.0.1:{port}/0")}
    return port


def test_while_redis_answers_it_keeps_what_it_is_given(port: int) -> None:
    with redis_server(port):
        cache.set("name", {"a": [1, 2]}, 60)

        assert cache.get("name") == {"a": [1, 2]}
        cache.clear()
        assert cache.get("name") is None


def test_a_redis_that_is_killed_is_an_empty_cache_until_it_is_back(port: int) -> None:
    with redis_server(port) as server:
        cache.set("name", 1)
        server.kill()
        server.wait()

        began = time.monotonic()
        assert cache.get("name", "default") == "default"
        assert cache.get_many(["name"]) == {}
        cache.set("name", 2)
        cache.add("other", 2)
        cache.delete("name")
        assert time.monotonic() - began < 1

    with redis_server(port):
        cache.set("name", 3)
        assert cache.get("name") == 3


def test_nobody_waits_for_a_redis_that_hangs(port: int) -> None:
    with redis_server(port) as server:
        cache.set("name", 1)
        server.send_signal(signal.SIGSTOP)

        began = time.monotonic()
        assert cache.get("name") is None
        assert time.monotonic() - began < 2

        server.send_signal(signal.SIGCONT)
        wait_for(lambda: cache.get("name") == 1, 10)


@pytest.mark.django_db
def test_the_queue_says_how_it_is_through_it_and_goes_on_without(port: int) -> None:
    broker = get_broker()

    broker.set_stat("cluster", "well", 3)
    assert broker.get_stat("cluster") is None
    with redis_server(port):
        broker.set_stat("cluster", "well", 3)
        assert broker.get_stat("cluster") == "well"


def test_in_each_process_needs_nothing() -> None:
    handler = CacheHandler({"default": cache_settings("locmemcache://")})
    handler["default"].set("name", 1)

    assert handler["default"].get("name") == 1
