"""Rows as identities: their digests, and the splits that keep some from ever training."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models_app.learning.kinds import category_text

FEWEST_ROWS = 10


def digest_instance(instance: Mapping[str, Any]) -> str:
    """SHA-256 in hexadecimal of an instance, whatever the order of its features.

    Null and absent agree, as do 1, 1.0 and "1", so that a client's JSON meets the base data.
    """
    known = {name: _plain(value) for name, value in instance.items() if value is not None}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def digest_rows(instances: Iterable[Mapping[str, Any]], targets: Iterable[Any]) -> str:
    """SHA-256 in hexadecimal of rows in their order, each an instance and its target."""
    digest = hashlib.sha256()
    for instance, target in zip(instances, targets, strict=True):
        line = json.dumps([digest_instance(instance), _plain(target)])
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()


def golden_split(
    digests: Sequence[str],
    targets: NDArray[Any],
    task: str,
    *,
    share: float = 0.2,
    enough: int = 30,
) -> NDArray[np.bool_]:
    """Which rows become golden: a mask of shape (n,) that follows from the digests alone.

    digests: one an instance; rows that share one stay together, in the least of their
    classes. targets: shape (n,), classes in classification. Takes `share` of each class, and
    up to a third where that is needed for `enough` rows; a class keeps one training row at
    least. Raises ValueError for fewer than 10 different instances.
    """
    groups: dict[str, str] = {}
    for digest, target in zip(digests, targets, strict=True):
        stratum = str(target) if task == "classification" else ""
        groups[digest] = min(stratum, groups.get(digest, stratum))
    if len(groups) < FEWEST_ROWS:
        raise ValueError(
            f"{len(groups)} different rows are too few to learn from: "
            f"at least {FEWEST_ROWS} are needed"
        )
    share = max(share, min(enough / len(groups), 1 / 3))
    golden: set[str] = set()
    for members in _strata(groups).values():
        # A digest is as good as a draw, and stays the same when rows are added or moved.
        golden.update(sorted(members)[: min(round(share * len(members)), len(members) - 1)])
    return np.array([digest in golden for digest in digests], dtype=np.bool_)


def holdout_newest(n: int, share: float) -> NDArray[np.bool_]:
    """A mask of shape (n,) over rows from oldest to newest: True for the newest `share`.

    share: in [0, 1]. Raises ValueError outside.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share {share} is outside 0 to 1")
    return np.arange(n) >= n - round(share * n)


def _strata(groups: Mapping[str, str]) -> dict[str, list[str]]:
    strata: dict[str, list[str]] = defaultdict(list)
    for digest, stratum in groups.items():
        strata[stratum].append(digest)
    return strata


def _plain(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return repr(float(value)) if isinstance(value, float) else category_text(value)
