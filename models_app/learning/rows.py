"""Rows as identities: their digests, and the splits that keep some from ever training."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models_app.learning.kinds import category_text

# As many golden rows as a judgement wants, if that is no more than a third of all.
ENOUGH = 30
# Of fewer different instances no third is enough; where each stands in three rows and more, these
# are observations of their own and no copies.
FEW_INSTANCES = 3 * ENOUGH
REPEATED = 3
# Fewer instances than this are never kept back whole: what is left would be a part of the world.
FEWEST_INSTANCES = 10


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
    enough: int = ENOUGH,
) -> NDArray[np.bool_]:
    """Which rows become golden: a mask of shape (n,) that follows from the digests alone.

    digests: one an instance, or one a row by `digest_repeats`; rows that share one stay together,
    in the least of their classes. targets: shape (n,), classes in classification. Takes `share`
    of each class, and up to a third where that is needed for `enough` rows; a class keeps one
    training row at least.
    """
    groups: dict[str, str] = {}
    for digest, target in zip(digests, targets, strict=True):
        stratum = str(target) if task == "classification" else ""
        groups[digest] = min(stratum, groups.get(digest, stratum))
    share = max(share, min(enough / max(1, len(groups)), 1 / 3))
    golden: set[str] = set()
    for members in _strata(groups).values():
        # A digest is as good as a draw, and stays the same when rows are added or moved.
        golden.update(sorted(members)[: min(round(share * len(members)), len(members) - 1)])
    return np.array([digest in golden for digest in digests], dtype=np.bool_)


def are_repeats(digests: Sequence[str], targets: NDArray[Any], task: str) -> bool:
    """Whether each row counts by itself, because a few instances stand in many rows.

    digests: one an instance. To keep a whole instance from training would then keep back a part of
    the world, such as all women in second class; so each instance both trains and judges, by
    different rows. Where instances are many, repeats of one stay on one side.
    """
    different = len(set(digests))
    if different < FEWEST_INSTANCES:
        return True
    if different < FEW_INSTANCES and len(digests) >= REPEATED * different:
        return True
    # Where each class is one instance, none could be kept back.
    return not golden_split(digests, targets, task).any()


def digest_repeats(digests: Iterable[str], targets: Iterable[Any]) -> list[str]:
    """A digest for each row, of its instance, its target and how many like it came before.

    As a set they are the same whatever the order of the rows.
    """
    counts: Counter[tuple[str, str]] = Counter()
    told: list[str] = []
    for digest, target in zip(digests, targets, strict=True):
        row = (digest, _plain(target))
        line = json.dumps([*row, counts[row]])
        told.append(hashlib.sha256(line.encode()).hexdigest())
        counts[row] += 1
    return told


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
