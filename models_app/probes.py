"""Instances made to find where two forms of one estimator part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models_app.learning.schema import Schema

# White space, case, accents composed and not, other scripts, punctuation, and sheer length.
NASTY_TEXTS = (
    "", " ", "   ", " a", "a ", "a\tb", "a\nb", "a \t b", "\u00a0x\u2003y", "A", "Ab aB AB",
    "straße STRASSE", "İstanbul ıi", "é e\u0301", "日本語 テスト", "👍 ok 👍🏽", "ＡＢＣ １２",
    "don't e-mail (a.b), c;d: \"e\" [f]!?", "__init__ _ x_y", "123 4.5 6,7", "x" * 3000,
    "word " * 600,
)  # fmt: skip


def probes_of(schema: Schema, first: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Variants of a real instance: optional features missing, categories unseen, odd texts."""
    probes = []
    for feature in schema.features:
        if not feature.required:
            probes.append({key: value for key, value in first.items() if key != feature.name})
        if feature.kind == "category":
            probes.append({**first, feature.name: "\u2603 never seen"})
        if feature.kind == "text":
            texts = (*NASTY_TEXTS, *_respaced(str(first.get(feature.name, ""))))
            probes += [{**first, feature.name: text} for text in texts]
    optional = {feature.name for feature in schema.features if not feature.required}
    return [*probes, {key: value for key, value in first.items() if key not in optional}]


def _respaced(text: str) -> list[str]:
    """A real text with other white space in it, in upper case, and its words reversed."""
    others = ("\t", "\n", "\r", "\f", "\v", "\x1c", "\u00a0", "\u2003", "\u3000", "\u200b")
    spaced = [text.replace(" ", other) for other in others]
    return [*spaced, text.upper(), " ".join(reversed(text.split()))]
