"""How long to wait before asking again somebody who does not answer now."""

from __future__ import annotations

from collections.abc import Iterator


def growing(first: float, longest: float) -> Iterator[float]:
    """Seconds: `first`, then twice as many each time, but never more than `longest`."""
    pause = first
    while True:
        yield pause
        pause = min(2 * pause, longest)
