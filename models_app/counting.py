"""Count what is answered, for Prometheus.

Several web processes share the counts through files, which `everlearn.metrics` reads together;
so that each costs microseconds, what has once been looked up by its labels is remembered.
"""

from __future__ import annotations

from typing import NamedTuple

from prometheus_client import Counter, Histogram

LABELS = ("model", "version", "door")
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

REQUESTS = Counter("everlearn_requests", "Predictions asked for and answered.", LABELS)
ROWS = Counter("everlearn_rows", "Rows predicted.", LABELS)
SECONDS = Histogram(
    "everlearn_prediction_seconds", "From instances to their answers in the log.", LABELS,
    buckets=BUCKETS,
)  # fmt: skip
ERRORS = Counter("everlearn_errors", "Predictions refused.", ("model", "door", "code"))


class _Counters(NamedTuple):
    requests: Counter
    rows: Counter
    seconds: Histogram


_known: dict[tuple[str, int, str], _Counters] = {}
_stopped = False


def stop() -> None:
    """Count no more in this process: there is no room for the counts."""
    global _stopped  # noqa: PLW0603 - one switch of this process
    _stopped = True


def answered(model: str, version: int, door: str, *, rows: int, seconds: float) -> None:
    """Count one request that was answered."""
    if _stopped:
        return
    counters = _known.get((model, version, door))
    if counters is None:
        labels = (model, str(version), door)
        counters = _Counters(
            REQUESTS.labels(*labels), ROWS.labels(*labels), SECONDS.labels(*labels)
        )
        _known[model, version, door] = counters
    counters.requests.inc()
    counters.rows.inc(rows)
    counters.seconds.observe(seconds)


def refused(model: str, door: str, code: str) -> None:
    """Count one request that was refused, for a model that exists."""
    if not _stopped:
        ERRORS.labels(model, door, code).inc()
