"""Everything that this system declines to do, so that a reader can pick what to catch.

Refused
├── NotFound           no such model, version, prediction … for the one who asks
├── Gone               it was there, and what it was about has been forgotten
├── InvalidInput       what was sent is wrong; `problems` names each place
├── TooMuch            more items than one request may hold
├── TooOften           asked again too soon; `wait` says for how many seconds
│   └── QuotaExceeded      more than the client may use a day
├── ReauthenticationRequired   the password was typed too long ago for what was asked
├── Conflict           the thing is not in a state that allows it
│   ├── GenerationMoved    another promotion came first; `generation` is the current one
│   ├── NotHandedOver      a workflow asks for a run that is still frozen here; ask again soon
│   └── StillUnderWay      the same request is being carried out; ask again in a moment
├── KeyReused          an idempotency key came with another body than before
├── GateSaidNo         the version was not better enough, and nobody overrides the gate
├── NotServable        the version has no verified bundle
│   └── BundleRefused      a bundle failed its verification; `code` says in which way
├── ArtifactUntrusted  MLflow keeps a file where this installation has no root
├── ModelFailed        the version gave an answer that nobody can use, such as NaN
├── ModelTooSlow       the version gave no answer within the time that it has
└── Unavailable        right, but not now; worth trying again
    └── NotReady           nothing serves yet, or this process has not loaded it

The codes are the API's; which HTTP status each class becomes is for `everlearn.errors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from models_app.learning.schema import Problem


class Refused(Exception):
    """Something was asked for and not done, and nothing changed."""

    default_code: ClassVar[str] = "refused"

    def __init__(self, detail: str, *, code: str = "", attr: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.attr = attr


class NotFound(Refused):
    default_code = "not_found"


class Gone(Refused):
    default_code = "gone"


class InvalidInput(Refused):
    """What was sent is wrong in one or more places."""

    default_code = "invalid"

    def __init__(self, problems: Sequence[Problem]) -> None:
        first = problems[0]
        super().__init__(first.detail, code=first.code, attr=first.attr)
        self.problems = list(problems)


class TooMuch(Refused):
    default_code = "too_many_items"


class TooOften(Refused):
    """Asked too often; `wait` is for how many seconds to leave it."""

    default_code = "throttled"

    def __init__(self, detail: str, *, wait: int) -> None:
        super().__init__(detail)
        self.wait = wait


class QuotaExceeded(TooOften):
    default_code = "quota_exceeded"


class ReauthenticationRequired(Refused):
    """Somebody logged in is to type the password again before this is done."""

    default_code = "reauthentication_required"


class Conflict(Refused):
    default_code = "conflict"


class GenerationMoved(Conflict):
    """Another promotion came first; `generation` is the one that serves now."""

    default_code = "generation_conflict"

    def __init__(self, detail: str, *, generation: int) -> None:
        super().__init__(detail, attr="expected_generation")
        self.generation = generation


class NotHandedOver(Conflict):
    default_code = "run_not_handed_over"


class StillUnderWay(Conflict):
    default_code = "idempotency_in_progress"


class KeyReused(Refused):
    default_code = "idempotency_mismatch"


class GateSaidNo(Refused):
    default_code = "gate_failed"


class NotServable(Refused):
    default_code = "not_servable"


class BundleRefused(NotServable):
    default_code = "bundle_refused"


class ArtifactUntrusted(Refused):
    default_code = "artifact_untrusted"


class ModelFailed(Refused):
    default_code = "model_output_invalid"


class ModelTooSlow(Refused):
    default_code = "prediction_timeout"


class Unavailable(Refused):
    default_code = "unavailable"


class NotReady(Unavailable):
    default_code = "model_not_ready"
