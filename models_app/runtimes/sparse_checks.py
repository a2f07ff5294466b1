"""Transformers that write sparse rows at places which the file names.

scipy makes such a row dense without looking whether a place is within it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from models_app.runtimes import allowed_types as allowed
from models_app.runtimes.attributes import array, integer, is_fitted, short
from models_app.runtimes.refusing import expect
from models_app.runtimes.skops_nodes import Objects, Record

MOST_COLUMNS = 1 << 22
LONGEST_N_GRAM = 30
# Those of scikit-learn and of `learning.pipeline`; another one may take for ever on some texts.
TOKEN_PATTERNS = frozenset({r"(?u)\b\w\w+\b", r"(?u)\b\w+\b", r"[^ \t\n\r\f\v]+", r"[^ ]+", r"\S+"})
_ANALYZERS = ("word", "char", "char_wb")


def check_vectorizer(owner: Record) -> None:
    """Refuse a vectorizer that reads files, calls functions or writes outside of its rows."""
    name = short(owner)
    expect(owner.get("input") == "content", f"{name} has input = {owner.get('input')!r:.40}; only "
           "input = \"content\" is allowed, as others read files")  # fmt: skip
    expect(owner.get("analyzer") in _ANALYZERS, f"the analyzer of {name} is not one of "
           f"{', '.join(_ANALYZERS)}")  # fmt: skip
    for one in ("preprocessor", "tokenizer"):
        expect(owner.get(one) is None, f"{name} has a {one}; only None is allowed")
    pattern = owner.get("token_pattern")
    usual = pattern in TOKEN_PATTERNS or (pattern is None and owner.get("analyzer") != "word")
    expect(usual, f"{name} has token_pattern = {pattern!r:.60}, one of "
           f"{', '.join(sorted(TOKEN_PATTERNS))} is allowed")  # fmt: skip
    expect(owner.get("strip_accents") in (None, "ascii", "unicode"), "strip_accents is not known")
    shortest, longest = owner.get("ngram_range")
    integer(shortest, "ngram_range", least=1, most=LONGEST_N_GRAM)
    integer(longest, "ngram_range", least=1, most=LONGEST_N_GRAM)
    if name == "HashingVectorizer":
        integer(owner.get("n_features"), "n_features", least=1, most=MOST_COLUMNS)
    elif is_fitted(owner, "vocabulary_"):
        _check_vocabulary(owner.get("vocabulary_"))


def _check_vocabulary(vocabulary: Any) -> None:
    expect(isinstance(vocabulary, dict) and vocabulary, "a vectorizer has no vocabulary")
    words = all(isinstance(word, str) for word in vocabulary)
    places = list(vocabulary.values())
    whole = all(type(place) is int for place in places)
    expect(words and whole, "a vocabulary has other than words and places")
    expect(
        sorted(places) == list(range(len(places))), "a vocabulary has places outside of its rows"
    )


def check_one_hot(owner: Record) -> None:
    """Refuse an encoder that finds a category at a place which its rows do not have."""
    if not is_fitted(owner, "_n_features_outs"):
        return
    categories, widths = owner.get("categories_"), owner.get("_n_features_outs")
    both = isinstance(categories, list) and isinstance(widths, list)
    expect(both and len(categories) == len(widths), "a one-hot encoder lacks categories")
    found = [_found(owner, place, one) for place, one in enumerate(categories)]
    dropped = owner.get("_drop_idx_after_grouping")
    if dropped is not None:
        expect(
            isinstance(dropped, np.ndarray | Objects) and len(dropped) == len(found),
            "drop is damaged",
        )
        found = [
            one if drop is None else one - _dropped(drop, one)
            for one, drop in zip(found, list(dropped), strict=True)
        ]
    expect(list(widths) == found, "a one-hot encoder has other widths than categories")


def _dropped(place: Any, count: int) -> int:
    integer(int(place), "a dropped category", most=count - 1)
    return 1


def _found(owner: Record, place: int, categories: Any) -> int:
    """How many places the encoder can find for one feature."""
    expect(
        isinstance(categories, np.ndarray | Objects) and len(categories),
        "a feature has no categories",
    )
    if isinstance(categories, np.ndarray) and categories.dtype.kind in "biuf":
        known = categories[~np.isnan(categories)].tolist()
        # They are looked for by bisection, which may find a place outside of an unsorted list.
        rising = (
            all(one < other for one, other in pairwise(known))
            and not np.isnan(categories[: len(known)]).any()
        )
        expect(rising and categories.ndim == 1, "the categories of a feature are not sorted")
    if not owner.get("_infrequent_enabled"):
        return len(categories)
    return _grouped(owner, place, len(categories))


def _grouped(owner: Record, place: int, count: int) -> int:
    groups: Sequence[Any] = owner.get("_default_to_infrequent_mappings")
    rare: Sequence[Any] = owner.get("_infrequent_indices")
    if groups[place] is None:
        expect(rare[place] is None, "a feature has rare categories and no group of them")
        return count
    group = array(groups[place], "a group of rare categories", np.int64, (count,))
    expect(isinstance(rare[place], np.ndarray) and len(rare[place]), "a group has no rare category")
    integer(rare[place][0], "a rare category", most=count - 1)
    expect(group.min() >= 0, "a group of rare categories is outside of the rows")
    return integer(group.max(), "a group of rare categories", most=count - 1) + 1


CHECKS: Mapping[str, Any] = {
    **dict.fromkeys(allowed.VECTORIZERS, check_vectorizer),
    allowed.ONE_HOT: check_one_hot,
}
