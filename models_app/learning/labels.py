"""Categories and classes as the training data spells them, whoever names them in which way."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from models_app.learning.kinds import category_text

_WHOLE = re.compile(r"(-?(?:0|[1-9]\d{0,14}))(?:\.0+)?")
_TRUTHS = ("true", "false")


class Spellings:
    """The texts that are known, and what else each may be called.

    Blanks around a text are no part of it. JSON's true and false stand for any spelling of these,
    and 2, 2.0 and "2.0" for each other, unless the data itself tells them apart. Leading zeros do
    tell: 7 is not 007.
    """

    def __init__(self, known: Iterable[str]) -> None:
        self._known = frozenset(known)
        keys = {text: key for text in self._known if (key := _key(text))}
        times = Counter(keys.values())
        self._by_key = {key: text for text, key in keys.items() if times[key] == 1}

    def of(self, value: str | int | bool) -> str:
        """The known text that a value stands for; the value as text when there is none."""
        text = category_text(value)
        if text in self._known:
            return text
        bare = text.strip()
        if bare in self._known:
            return bare
        return self._by_key.get(_key(bare), text)


def _key(text: str) -> str:
    lowered = text.casefold()
    if lowered in _TRUTHS:
        return lowered
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else ""
