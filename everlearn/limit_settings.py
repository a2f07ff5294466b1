"""The settings of limits: what clients may use, how exact answers are, what is kept how long."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from everlearn import setting_values as values
from everlearn.setting_values import setting


@dataclass(frozen=True)
class LimitSettings:
    """What limits clients and keeps the disk from filling up; 0 sets no limit."""

    anonymous_requests: int = setting(
        "EVERLEARN_ANONYMOUS_REQUESTS_PER_DAY",
        values.number,
        "1000000",
        "Requests without a key that are taken from one network (an IPv4 address, an IPv6 /64).",
    )
    anonymous_rows: int = setting(
        "EVERLEARN_ANONYMOUS_ROWS_PER_DAY",
        values.number,
        "100000",
        "Rows that are predicted for one network without a key.",
    )
    anonymous_feedback: int = setting(
        "EVERLEARN_ANONYMOUS_FEEDBACK_PER_DAY",
        values.number,
        "20000",
        "Items of feedback that are taken from one network without a key.",
    )
    anonymous_stored: int = setting(
        "EVERLEARN_ANONYMOUS_STORED_PER_DAY",
        values.number,
        "100",
        "MiB of predictions and feedback that are stored for one network without a key.",
    )
    anonymous_total: int = setting(
        "EVERLEARN_ANONYMOUS_TOTAL",
        values.number,
        "0",
        "How many networks' quotas all networks without a key share; 0: each has its own only.",
    )
    key_requests: int = setting(
        "EVERLEARN_KEY_REQUESTS_PER_DAY",
        values.number,
        "20000000",
        "Requests of one API key, unless a superuser set other quotas for it.",
    )
    key_rows: int = setting(
        "EVERLEARN_KEY_ROWS_PER_DAY",
        values.number,
        "10000000",
        "Rows that are predicted for one API key.",
    )
    key_feedback: int = setting(
        "EVERLEARN_KEY_FEEDBACK_PER_DAY",
        values.number,
        "1000000",
        "Items of feedback that are taken from one API key, and feedback links made by it.",
    )
    key_stored: int = setting(
        "EVERLEARN_KEY_STORED_PER_DAY",
        values.number,
        "10240",
        "MiB of predictions, feedback and batch files that are stored for one API key.",
    )
    anonymous_digits: int | None = setting(
        "EVERLEARN_ANONYMOUS_DIGITS",
        values.digits,
        "2",
        "Decimals of probabilities without a key; numbers have 3 more significant digits. Or off.",
    )
    min_free_disk: int = setting(
        "EVERLEARN_MIN_FREE_DISK",
        values.number,
        "256",
        "MiB of disk that requests without a key leave free.",
    )
    retain_predictions: timedelta | None = setting(
        "EVERLEARN_RETAIN_PREDICTIONS",
        values.retention,
        "400d",
        "How long predictions are kept that no feedback refers to; off: for ever.",
    )
    retain_feedback: timedelta | None = setting(
        "EVERLEARN_RETAIN_FEEDBACK",
        values.retention,
        "400d",
        "How long the content of rejected and superseded feedback is kept; off: for ever.",
    )
    retain_replies: timedelta | None = setting(
        "EVERLEARN_RETAIN_REPLIES",
        values.retention,
        "1d",
        "How long an answer to a request with an Idempotency-Key is kept; off: for ever.",
    )
    retain_batches: timedelta | None = setting(
        "EVERLEARN_RETAIN_BATCHES",
        values.retention,
        "7d",
        "How long the files of a batch job are kept after it ended; off: for ever.",
    )
    retain_usage: timedelta | None = setting(
        "EVERLEARN_RETAIN_USAGE",
        values.retention,
        "90d",
        "How long it is kept who used how much on which day; off: for ever.",
    )
    retain_logs: timedelta | None = setting(
        "EVERLEARN_RETAIN_LOGS",
        values.retention,
        "90d",
        "How long files in EVERLEARN_HOME/logs are kept after the last line; off: for ever.",
    )
