"""Golden rows: a slice of the base data, fixed at the first training, and what staff pinned to it.

None of them ever trains. Web processes ask whether feedback contradicts one, and pin rows, so
nothing here imports pandas.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.db import transaction

from models_app import atomic_storage, policies
from models_app.learning.rows import digest_instance
from models_app.models import RegisteredModel
from models_app.refusals import Conflict, Unavailable

# An instance and its right answer.
Pin = tuple[dict[str, Any], Any]


@dataclass(frozen=True, slots=True)
class Golden:
    """The right answers to the golden instances, by their digests.

    target, features: the columns that they were chosen for; others need a choice of their own.
    read_as: names how the data was read; "" as pandas tells. table: names the rows that were
    chosen. pinned: those that staff added, an answer each. repeated: the rows repeat few
    instances, so that each was chosen by itself and `answers` names whole instances only where
    they were pinned.
    """

    target: str = ""
    features: Sequence[str] = ()
    answers: Mapping[str, Any] = field(default_factory=dict)
    table: str = ""
    pinned: Sequence[Pin] = ()
    read_as: str = ""
    repeated: bool = False

    @property
    def digest(self) -> str:
        """Names the whole: the rows that were chosen, and those that were pinned."""
        if not self.pinned:
            return self.table
        told = json.dumps([self.table, self.pinned], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()

    def fits(self, model: RegisteredModel) -> bool:
        """Whether they were chosen for the columns that the model has now, read as they are now."""
        chosen = (self.target, self.features, self.read_as)
        return chosen == (model.target, list(model.schema.names), read_as(model))

    def with_pins(self, pins: Sequence[Pin]) -> Golden:
        """These and `pins`, whose word counts where an instance is there already."""
        pinned = by_digest([*self.pinned, *pins])
        answers = {digest: answer for digest, (_, answer) in pinned.items()}
        return replace(self, answers={**self.answers, **answers}, pinned=list(pinned.values()))


def read_as(model: RegisteredModel) -> str:
    """Names the way in which a model's data is read, since another gives rows other digests."""
    if not model.reading:
        return ""
    kinds = [[one.name, one.kind, one.reading.to_json()] for one in model.schema.features]
    told = json.dumps([kinds, model.reading["target"]], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def by_digest(pins: Sequence[Pin]) -> dict[str, Pin]:
    """Each instance once, with the last word on it."""
    return {digest_instance(instance): (instance, answer) for instance, answer in pins}


def table_name(table: str) -> str:
    """Where the chosen rows themselves are stored."""
    return f"golden/{table}.parquet"


def index_name(golden_digest: str) -> str:
    """Where the answers by digest are stored."""
    return f"golden/{golden_digest}.json"


@lru_cache(maxsize=64)
def read(golden_digest: str) -> Golden:
    """The index of golden rows; "" stands for none yet. Raises FileNotFoundError."""
    if not golden_digest:
        return Golden()
    with default_storage.open(index_name(golden_digest)) as file:
        return Golden(**{"table": golden_digest, **json.load(file)})


def keep(model: RegisteredModel, golden: Golden) -> None:
    """Have these be the model's golden rows. Raises Unavailable when others came first."""
    before = model.golden_digest
    index = {name: value for name, value in asdict(golden).items() if value is not False}
    atomic_storage.store(index_name(golden.digest), json.dumps(index).encode())
    standing = RegisteredModel.objects.filter(pk=model.pk, golden_digest=before)
    if not standing.update(golden_digest=golden.digest):
        raise Unavailable(f"The golden rows of {model} were changed meanwhile; ask again.")
    model.golden_digest = golden.digest


def pins_that_fit(model: RegisteredModel) -> list[Pin]:
    """What was pinned and still makes sense, whatever has become of the model's columns."""
    known = read(model.golden_digest)
    if known.target != model.target:
        return []
    numbers = model.task == RegisteredModel.Task.REGRESSION
    return [
        (instance, answer)
        for instance, answer in known.pinned
        if isinstance(answer, float) == numbers
        and next(model.schema.problems(instance, ""), None) is None
    ]


def told(model: RegisteredModel, new: int, asked: int) -> str:
    """What to say of a pin."""
    before = f"; {asked - new} were pinned before" if new < asked else ""
    repeated = " No row with the same features trains any more." if new else ""
    if not read(model.golden_digest).repeated:
        repeated = ""
    return f"Pinned {new} of {asked} rows{before}.{repeated}"


def pin(model: RegisteredModel, pins: Sequence[Pin], *, actor: User, reason: str) -> int:
    """Add rows, with their right answers, to the golden ones, and return how many were new.

    From the next snapshot on none of them trains, and every version is judged on them, unless it
    or the champion trained on them before. Who did it and why stands in the model's history.
    Raises PermissionDenied, Conflict while there are no golden rows for the model's columns, and
    Unavailable when others changed them meanwhile.
    """
    policies.refuse_unless_allowed(actor)
    known = read(model.golden_digest)
    if not known.fits(model):
        detail = f"The golden rows of {model} are chosen when it is next trained; pin more then."
        raise Conflict(detail, code="no_golden_rows")
    standing = by_digest(known.pinned)
    new = [pin for digest, pin in by_digest(pins).items() if standing.get(digest) != pin]
    if not new:
        return 0
    with transaction.atomic():
        keep(model, known.with_pins(new))
        line = f"Pinned {len(new)} golden rows, now {model.golden_digest[:12]}: {reason}"
        LogEntry.objects.log_actions(actor.pk, [model], CHANGE, line, single_object=True)
    return len(new)
