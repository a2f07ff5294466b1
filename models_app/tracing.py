"""The ids of what is under way: each line that is logged meanwhile carries them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_ids: ContextVar[dict[str, Any] | None] = ContextVar("ids", default=None)


@contextmanager
def tracing(**ids: Any) -> Iterator[None]:
    """Carry `ids`, and those that are carried already, until the block is left."""
    token = _ids.set({**(_ids.get() or {}), **ids})
    try:
        yield
    finally:
        _ids.reset(token)


def note(**ids: Any) -> None:
    """Carry these too for what is under way; outside of any `tracing` it means nothing."""
    if (carried := _ids.get()) is not None:
        carried.update(ids)


def carried() -> dict[str, Any]:
    """The ids carried now."""
    return dict(_ids.get() or {})
