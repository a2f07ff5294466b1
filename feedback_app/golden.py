"""Golden rows: a slice of the base data, fixed at the first training, that never trains.

Web processes ask whether feedback contradicts one of them, so nothing here imports pandas.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

from django.core.files.storage import default_storage


@dataclass(frozen=True, slots=True)
class Golden:
    """The right answers to the golden instances, by their digests.

    target, features: the columns that they were chosen for; others need a choice of their own.
    """

    target: str = ""
    features: Sequence[str] = ()
    answers: Mapping[str, Any] = field(default_factory=dict)


def table_name(golden_digest: str) -> str:
    """Where the rows themselves are stored."""
    return f"golden/{golden_digest}.parquet"


def index_name(golden_digest: str) -> str:
    """Where the answers by digest are stored."""
    return f"golden/{golden_digest}.json"


@lru_cache(maxsize=64)
def read(golden_digest: str) -> Golden:
    """The index of golden rows; "" stands for none yet. Raises FileNotFoundError."""
    if not golden_digest:
        return Golden()
    with default_storage.open(index_name(golden_digest)) as file:
        return Golden(**json.load(file))


def index_of(golden: Golden) -> bytes:
    """The file that `read` reads."""
    return json.dumps(asdict(golden)).encode()
