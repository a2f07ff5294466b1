"""How gunicorn runs the web processes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from everlearn import configuration

if TYPE_CHECKING:
    from gunicorn.workers.base import Worker

try:
    _given = configuration.read()
except configuration.ConfigurationError as error:
    sys.exit(f"everlearn: {error}")

bind = f"127.0.0.1:{_given.port}"
workers = _given.web_processes
worker_class = "gthread"
threads = 8
timeout = 60
graceful_timeout = 4
keepalive = 5
# A thread of ours follows what serves, and no thread survives a fork.
preload_app = False
# Its socket would be one for all instances of this user.
control_socket_disable = True


def post_worker_init(worker: Worker) -> None:
    from models_app import following

    following.start()


def worker_exit(server: object, worker: Worker) -> None:
    from models_app import following

    following.stop()
