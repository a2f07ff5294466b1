"""Fewer digits for clients without a key: each digit makes it cheaper to copy a model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings

# A number is the whole answer of a regression, so it keeps more than a probability does.
MORE_FOR_NUMBERS = 3


def for_anonymous(
    predictions: Sequence[dict[str, Any]], *, spread: float = 0.0
) -> list[dict[str, Any]]:
    """The predictions with probabilities and numbers rounded; those given stay as they are.

    EVERLEARN_ANONYMOUS_DIGITS is the number of decimals of a probability; a regression's number
    keeps three more significant digits. spread: the standard deviation of the answers, of which it
    keeps as many at least: 2460000.537 says nothing without its decimals where all answers lie
    within a day. A class and all else is unchanged.
    """
    digits = settings.EVERLEARN_ANONYMOUS_DIGITS
    if digits is None:
        return list(predictions)
    return [_rounded(prediction, digits, spread) for prediction in predictions]


def _rounded(prediction: dict[str, Any], digits: int, spread: float) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    if probabilities := prediction.get("probabilities"):
        changed["probabilities"] = rounded_shares(probabilities, digits)
    if isinstance(prediction["value"], float):
        digits += MORE_FOR_NUMBERS
        smaller = min(filter(None, (abs(prediction["value"]), spread)), default=1.0)
        changed["value"] = round(prediction["value"], digits - 1 - math.floor(math.log10(smaller)))
    return {**prediction, **changed}


def rounded_shares(probabilities: Mapping[str, float], digits: int) -> dict[str, float]:
    return {name: round(share, digits) for name, share in probabilities.items()}
