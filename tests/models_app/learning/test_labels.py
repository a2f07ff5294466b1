"""labels.py: the spelling that the data has for a category or class."""

from __future__ import annotations

import pytest

from models_app.learning.labels import Spellings


@pytest.mark.parametrize(
    ("known", "value", "text"),
    [
        (["007", "070"], "007", "007"),
        (["007", "070"], 7, "7"),
        (["02116"], 2116, "2116"),
        (["True", "False"], True, "True"),
        (["True", "False"], "true", "True"),
        (["TRUE", "true"], "True", "True"),
        (["1", "2"], "2.0", "2"),
        (["1", "2"], 2, "2"),
        (["1.0", "2.0"], 2, "2.0"),
        (["1.0", "2.0"], "2", "2.0"),
        (["1", "1.0"], "1.00", "1.00"),
        (["cook"], " cook ", "cook"),
        ([" cook "], " cook ", " cook "),
        (["cook"], "Cook", "Cook"),
        (["90071992547409931"], "90071992547409933", "90071992547409933"),
        ([], "x", "x"),
    ],
)  # fmt: skip
def test_a_value_stands_for_the_text_that_the_data_has(
    known: list[str], value: str | int | bool, text: str
) -> None:
    assert Spellings(known).of(value) == text
