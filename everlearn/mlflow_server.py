"""What only an MLflow server itself tells about being fit for production: O4."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import requests

from everlearn.safety import MLFLOW_UNSAFE, Unsafe, is_this_host

SECONDS = 5.0
SETTING = "MLFLOW_TRACKING_URI"
# TEST-NET-1: nothing is sent there, only the way to it is looked up.
SOMEWHERE = ("192.0.2.1", 9)


def unsafe_server(uri: str) -> Iterator[Unsafe]:
    """What a server at `uri` lets strangers do; nothing for other addresses or one that is away."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or parts.hostname is None:
        return
    port = f":{parts.port}" if parts.port else ""
    here = is_this_host(parts.hostname)
    version = _asked(f"{parts.scheme}://{parts.hostname}{port}{parts.path.rstrip('/')}/version")
    if (numbers := re.match(r"(\d+)\.(\d+)\.(\d+)", version)) and (
        tuple(map(int, numbers.groups())) <= MLFLOW_UNSAFE
    ):
        remedy = "upgrade it to 3.17.2 or newer"
        yield Unsafe(SETTING, f"is an MLflow {numbers[0]}, which reads files it must not", remedy)
    # A server of this host may listen for others, too.
    host = _outward_address() if here else parts.hostname
    path = "/api/2.0/mlflow/experiments/search?max_results=1"
    if host and _asked(f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}{path}"):
        why = f"answers whoever asks it at {host}{port}, without a login"
        own = "start it with --host 127.0.0.1, or --app-name basic-auth"
        yield Unsafe(SETTING, why, own if here else "start it with --app-name basic-auth")


def _asked(url: str) -> str:
    """What a stranger is answered; "" when refused, or by nobody."""
    with requests.Session() as session:
        session.trust_env = False  # neither a proxy nor a login from ~/.netrc
        try:
            answer = session.get(url, timeout=SECONDS, allow_redirects=False)
        except requests.RequestException:
            return ""
    return answer.text if answer.status_code == 200 else ""


def _outward_address() -> str:
    """The address of this host that others reach; "" when there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(SOMEWHERE)
        except OSError:
            return ""
        address: str = probe.getsockname()[0]
    return address
