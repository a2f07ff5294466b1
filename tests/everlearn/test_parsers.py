"""everlearn/parsers.py: JSON that could mean two things, or break its storage, is refused."""

import json
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import ParseError

from everlearn.parsers import MAX_DEPTH, parse
from models_app.refusals import InvalidInput

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(TEXT, VALUES) | st.lists(VALUES), st.booleans())
def test_whatever_json_can_say_is_read_as_the_standard_library_does(value, ascii_only):
    assert parse(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'\xef\xbb\xbf{"a": 1}', "byte_order_mark"),
        (b'{"a": "\xff"}', "invalid_utf8"),
        (b'{"a": "\xed\xa0\x80"}', "invalid_utf8"),
        (b'{"a": "\x00"}', "parse_error"),
        (b"{'a': 1}", "parse_error"),
        (b'{"a": 1}}', "parse_error"),
        (b'{"a": 1', "parse_error"),
        (b'{"a": NaN', "parse_error"),
        (b'{"a": 01}', "parse_error"),
        (b"", "parse_error"),
        (b'{"a": ' + b"9" * 5000 + b"}", "parse_error"),
        (b'"text"', "not_an_object"),
        (b"7", "not_an_object"),
        (b"null", "not_an_object"),
    ],
)
def test_a_body_that_is_no_json_is_refused_with_a_code_that_says_why(body, code):
    with pytest.raises(ParseError) as refused:
        parse(body)

    assert refused.value.get_codes() == code


@pytest.mark.parametrize(
    ("body", "code", "places"),
    [
        (b'{"a": 1, "a": 2}', "duplicate_name", ["a"]),
        (b'{"a": {"b": 1, "\\u0062": 2}}', "duplicate_name", ["a.b"]),
        (b'[{"a": NaN, "b": [Infinity]}]', "not_finite", ["0.a", "0.b.0"]),
        (b'{"a": -Infinity}', "not_finite", ["a"]),
        (b'{"a": "\\u0000"}', "invalid_text", ["a"]),
        (b'{"a": [1, {"b": "x\\u0000"}]}', "invalid_text", ["a.1.b"]),
        (b'{"\\u0000": 1}', "invalid_text", ["\ufffd"]),
        (b'{"a": ["\\ud800"]}', "invalid_text", ["a.0"]),
        (b'{"a": "\\uDFFF\\uD800"}', "invalid_text", ["a"]),
        (b'{"a": {"\\udc00x": 1}}', "invalid_text", ["a.\ufffdx"]),
    ],
)
def test_what_could_not_be_kept_as_it_came_is_refused_with_its_place(body, code, places):
    with pytest.raises(InvalidInput) as refused:
        parse(body)

    assert [problem.attr for problem in refused.value.problems] == places
    assert {problem.code for problem in refused.value.problems} == {code}


def test_what_is_repeated_of_a_hostile_body_is_short():
    name = "\\u0000" * 100_000

    with pytest.raises(InvalidInput) as refused:
        parse(json.dumps({f"{index}": "\0" for index in range(1000)} | {name: 1}).encode())

    assert len(refused.value.problems) == 100
    assert all(len(problem.attr) <= 80 for problem in refused.value.problems)


def test_an_escape_that_only_looks_like_a_nul_is_text():
    assert parse(b'{"a": "\\\\u0000"}') == {"a": "\\u0000"}


def _nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def test_nesting_is_taken_up_to_the_limit_and_not_beyond():
    parse(_nested(MAX_DEPTH))

    with pytest.raises(ParseError, match="deeper than 32"):
        parse(_nested(MAX_DEPTH + 1))


def test_a_hundred_thousand_levels_are_refused_without_a_crash():
    with pytest.raises(ParseError) as refused:
        parse(b'{"a":' * 100_000 + b"1" + b"}" * 100_000)

    assert refused.value.get_codes() == "json_too_deep"


@pytest.mark.parametrize("depth", [33, 1_000, 5_000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_however_deep_the_refusal_takes_a_tenth_of_a_second(depth, opening, closing):
    """H1: the limit is counted and does not depend on how deep Python's parser can go."""
    body = opening * depth + b"1" + closing * depth
    started = time.process_time()

    with pytest.raises(ParseError, match="deeper than 32"):
        parse(body)

    assert time.process_time() - started < 0.1


def test_depth_hidden_behind_an_escaped_quote_is_seen():
    with pytest.raises(ParseError):
        parse(b'{"a\\"": ' + _nested(MAX_DEPTH) + b"}")


def test_brackets_within_text_are_not_depth():
    body = json.dumps({"text": '[{"\\' * 1000}).encode()

    assert parse(body) == {"text": '[{"\\' * 1000}


def test_many_objects_side_by_side_are_not_depth():
    assert len(parse(json.dumps([{"a": [1]}] * 5000).encode())) == 5000


def test_a_surrogate_pair_is_one_character():
    assert parse(b'{"a": "\\ud83c\\udf77"}') == {"a": "\N{WINE GLASS}"}


def test_broken_strings_do_not_confuse_the_count():
    with pytest.raises(ParseError):
        parse(b'{"a": "' + b"[" * 50)


def test_the_digit_limit_that_long_numbers_meet_is_pythons():
    assert sys.get_int_max_str_digits() == 4300
    assert parse(b"[" + b"9" * 4300 + b"]") == [int("9" * 4300)]
