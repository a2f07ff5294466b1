"""What storing feedback uses of a client's daily quota."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from feedback_app.models import Feedback
from models_app.models import Prediction
from models_app.quota import Quota

# What the database needs for a word beside its features and comment.
WORD_BYTES = 600
LONGEST_COMMENT = 2000


def of_words(words: Sequence[Feedback]) -> Quota:
    """The cost of words that are about to be stored."""
    stored = sum(_size([word.features, word.value, word.comment]) for word in words)
    return Quota(feedback=len(words), stored_bytes=stored)


def of_link(prediction: Prediction) -> Quota:
    """The cost of the one word that a link is good for, whose comment is not known yet."""
    return Quota(feedback=1, stored_bytes=_size(prediction.input) + LONGEST_COMMENT)


def _size(content: object) -> int:
    return len(orjson.dumps(content)) + WORD_BYTES
