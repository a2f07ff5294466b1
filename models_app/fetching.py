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
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import SplitResult, urlsplit

import aiohttp
import fsspec
from aiohttp import AddrInfoType
from django.conf import settings

from models_app.addresses import SourceRefused, not_allowed, parts_of, refuse_private

MIB = 2**20
LONGEST = 600.0  # seconds
SILENCE = 30.0  # seconds
PACKED = {b"PK\x03\x04": "zip", b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


@contextmanager
def fetched(source: str) -> Iterator[Path]:
    """The data at an address as a file that is gone afterwards.

    Raises SourceRefused when it may not be fetched, is too much, or takes too long;
    FileNotFoundError and other OSErrors when it is not there or does not answer.
    """
    suffix = PurePosixPath(parts_of(source).path).suffix.lower()
    with tempfile.NamedTemporaryFile(prefix="everlearn-data-", suffix=suffix) as file:
        with _open(source) as stream:
            _copy(stream, file)
        file.flush()
        yield Path(file.name)


def fingerprint(source: str) -> str:
    """What changes when the data at an address does (its ETag or date); "" when nothing tells.

    Raises as `fetched` does.
    """
    with _patiently(source):
        told: Mapping[str, Any] = _filesystem(parts_of(source)).info(source)
    names = ("ETag", "Content-MD5", "Digest", "Last-Modified", "LastModified")
    return next((f"{name} {told[name]}" for name in names if told.get(name)), "")


def _filesystem(parts: SplitResult) -> Any:
    if parts.scheme == "s3":
        # Where S3 is, and with which keys, comes from the usual AWS_… variables.
        return fsspec.filesystem("s3", skip_instance_cache=True)
    # Nothing is unpacked on the way: what is counted is what arrives.
    plain = {"Accept-Encoding": "identity"}
    limits = aiohttp.ClientTimeout(total=LONGEST, sock_connect=SILENCE, sock_read=SILENCE)
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
    # Told a size, the file system does not ask for it first: a second request says no more.
    told: dict[str, int] = {} if parts.scheme == "s3" else {"size": 1}
    with (
        _patiently(source),
        _filesystem(parts).open(source, "rb", block_size=0, **told) as stream,
    ):
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
            raise SourceRefused(f"The data at {host} took too long to arrive.") from None
        if isinstance(error, OSError):
            raise
        status = getattr(error, "status", "") or type(error).__name__
        raise OSError(f"the data at {host} cannot be fetched: {status}") from error


def _refusal_behind(error: BaseException | None) -> SourceRefused | None:
    while error is not None:
        if isinstance(error, SourceRefused):
            return error
        error = error.__cause__ or error.__context__
    return None


def _copy(stream: Any, file: Any) -> None:
    limit, deadline = settings.EVERLEARN_DATA_LIMIT * MIB, time.monotonic() + LONGEST
    size = 0
    while chunk := stream.read(MIB):
        if size == 0:
            _refuse_packed(chunk)
        size += len(chunk)
        if size > limit:
            raise SourceRefused(
                f"The data has more than {settings.EVERLEARN_DATA_LIMIT} MiB, the limit that "
                "EVERLEARN_DATA_LIMIT sets."
            )
        if time.monotonic() > deadline:
            raise SourceRefused(f"The data did not arrive within {LONGEST:.0f} s.")
        file.write(chunk)


def _refuse_packed(beginning: bytes) -> None:
    """Raise SourceRefused for an archive: a small one may unpack to more than any disk holds."""
    for magic, name in PACKED.items():
        if beginning.startswith(magic):
            raise SourceRefused(f"The data is a {name} file; CSV and Parquet are read as they are.")
