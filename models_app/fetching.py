"""Fetch base data from an address: bounded in bytes and time, and never from a private network.

The check sits where a socket is opened, so that redirects, odd spellings of an address and names
that stand for another address a moment later all meet it.
"""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any
from urllib.parse import SplitResult, urlsplit

import aiohttp
import fsspec
from aiohttp import AddrInfoType
from django.conf import settings

from models_app.addresses import SourceRefused, not_allowed, parts_of, refuse_private

MIB = 2**20
SILENCE = 30.0  # seconds
# A look at what an address has asks for a few headers only.
QUICK = 10.0  # seconds
# What a server may call a version of what it sends, the surest first.
VERSIONS = ("ETag", "Content-MD5", "Digest", "Last-Modified", "LastModified")


@contextmanager
def fetched(source: str) -> Iterator[tuple[IO[bytes], str]]:
    """The data at an address as a file at its beginning, and its version as `version_of` has it.

    The file has no name, so that nothing is left of it however this process ends. Raises
    SourceRefused when it may not be fetched, is too much, or takes too long; FileNotFoundError
    and other OSErrors when it is not there or does not answer.
    """
    with tempfile.TemporaryFile() as file:
        with _open(source) as stream:
            # Read before the data: should that change meanwhile, it counts as changed.
            version = _version(stream.r.headers if hasattr(stream, "r") else stream.details)
            _copy(stream, file)
        file.seek(0)
        yield file, version


def version_of(source: str) -> str:
    """What changes when the data at an address does (its ETag or date); "" when nothing tells.

    Raises as `fetched` does, within seconds.
    """
    with _patiently(source):
        return _version(_filesystem(parts_of(source), QUICK).info(source))


def _version(told: Mapping[str, Any]) -> str:
    return next((f"{name} {told[name]}" for name in VERSIONS if told.get(name)), "")


def _filesystem(parts: SplitResult, seconds: float) -> Any:
    silence = min(SILENCE, seconds)
    if parts.scheme == "s3":
        # Where S3 is, and with which keys, comes from the usual AWS_… variables.
        patience = {"connect_timeout": silence, "read_timeout": silence}
        return fsspec.filesystem("s3", skip_instance_cache=True, config_kwargs=patience)
    # Nothing is unpacked on the way: what is counted is what arrives.
    plain = {"Accept-Encoding": "identity"}
    limits = aiohttp.ClientTimeout(total=seconds, sock_connect=silence, sock_read=silence)
    return fsspec.filesystem(
        "http",
        skip_instance_cache=True,
        get_client=_session,
        client_kwargs={"timeout": limits, "auto_decompress": False, "headers": plain},
    )


async def _session(**options: Any) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(socket_factory=_socket, use_dns_cache=False)
    return aiohttp.ClientSession(connector=connector, trust_env=False, **options)


def _socket(address: AddrInfoType) -> socket.socket:
    family, kind, protocol, _, sockaddr = address
    refuse_private(str(sockaddr[0]))
    return socket.socket(family=family, type=kind, proto=protocol)


@contextmanager
def _open(source: str) -> Iterator[Any]:
    parts = parts_of(source)
    # Told a size, it streams instead of asking for that first: a second request says no more.
    streaming = {} if parts.scheme == "s3" else {"size": 1, "block_size": 0}
    files = _filesystem(parts, settings.EVERLEARN_DATA_TIMEOUT)
    with _patiently(source), files.open(source, "rb", **streaming) as stream:
        yield stream


@contextmanager
def _patiently(source: str) -> Iterator[None]:
    """Tell the refusal that a library hid in an error of its own, and time-outs as such."""
    host = urlsplit(source).hostname
    try:
        yield
    except SourceRefused:
        raise
    except Exception as error:
        if refusal := _refusal_behind(error):
            raise refusal from None
        if isinstance(error, aiohttp.InvalidURL):
            raise not_allowed("it is malformed") from None
        if isinstance(error, TimeoutError):
            raise SourceRefused(
                f"The data at {host} took too long to arrive (EVERLEARN_DATA_TIMEOUT)."
            ) from None
        if isinstance(error, OSError):
            raise
        status = getattr(error, "status", "") or "no answer"
        raise OSError(f"the data at {host} cannot be fetched: {status}") from error


def _refusal_behind(error: BaseException | None) -> SourceRefused | None:
    while error is not None:
        if isinstance(error, SourceRefused):
            return error
        error = error.__cause__ or error.__context__
    return None


def _copy(stream: Any, file: IO[bytes]) -> None:
    limit, seconds = settings.EVERLEARN_DATA_LIMIT * MIB, settings.EVERLEARN_DATA_TIMEOUT
    deadline = time.monotonic() + seconds
    size = 0
    while chunk := stream.read(MIB):
        size += len(chunk)
        if size > limit:
            raise SourceRefused(
                f"The data has more than {settings.EVERLEARN_DATA_LIMIT} MiB, the limit that "
                "EVERLEARN_DATA_LIMIT sets."
            )
        if time.monotonic() > deadline:
            raise SourceRefused(f"The data did not arrive within {seconds} s.")
        file.write(chunk)
