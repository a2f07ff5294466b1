"""How gunicorn runs the web processes."""

from __future__ import annotations

import resource
import sys
from typing import TYPE_CHECKING

from everlearn import configuration, logs, metric_files, safety

if TYPE_CHECKING:
    from gunicorn.http.message import Request
    from gunicorn.workers.base import Worker

try:
    _given = configuration.read()
    safety.refuse_unsafe_settings(_given)
except configuration.ConfigurationError as error:
    sys.exit(f"everlearn: {error}")

metric_files.begin(_given.home)

# A connection takes a descriptor, and a second one while its body or answer is in a file.
_FOR_CONNECTIONS, _FOR_THE_REST = 2048, 256


def _raise_descriptor_limit() -> int:
    """How many connections a process may hold, given as many descriptors as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FOR_CONNECTIONS + _FOR_THE_REST
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        soft = wanted
    return max(64, (min(soft, wanted) - _FOR_THE_REST) // 2)


# An IPv6 address needs its brackets.
_host = f"[{_given.host}]" if ":" in _given.host else _given.host
bind = f"{_host}:{_given.port}"
workers = _given.web_processes
worker_class = "everlearn.web_worker.WebWorker"
threads = 8
worker_connections = _raise_descriptor_limit()
timeout = 60
graceful_timeout = 4
keepalive = 5
# Its own lines take the same shape; that of each request is `everlearn.access`.
logconfig_dict = logs.logging_settings(_given)
# A process takes over from a killed one in a fraction of a second, having nothing to import.
# No thread survives a fork, so the one that follows what serves is started after it.
preload_app = True
# Enough for a header that is too long to be told so by the application, in its own words.
limit_request_field_size = 32 * 1024
# Its socket would be one for all instances of this user.
control_socket_disable = True


def on_starting(server: object) -> None:
    from django.db import connections

    from everlearn import checks

    try:
        checks.refuse_unsafe_start()
    except configuration.ConfigurationError as error:
        sys.exit(f"everlearn: {error}")
    connections.close_all()  # no fork may share one


def when_ready(server: object) -> None:
    from django.urls import get_resolver

    # Not onnxruntime: its import starts a thread, for which a forked process waits when it ends.
    get_resolver().url_patterns  # noqa: B018 - loads every view


def post_worker_init(worker: Worker) -> None:
    from models_app import counting, following

    # The loop that receives for all waits behind each of the threads: by default 5 ms each time.
    sys.setswitchinterval(0.001)
    if not metric_files.take_room(worker.pid):
        counting.stop()
    following.start()


def pre_request(worker: Worker, request: Request) -> None:
    """Have the application see that a key was sent twice: WSGI joins repeated headers."""
    name = "IDEMPOTENCY-KEY"
    keys = [value for given, value in request.headers if given == name]
    if len(keys) > 1:
        others = [header for header in request.headers if header[0] != name]
        request.headers = [*others, (name, "\n".join(keys))]


def child_exit(server: object, worker: Worker) -> None:
    metric_files.give_back(worker.pid)


def worker_exit(server: object, worker: Worker) -> None:
    from models_app import following

    following.stop()
