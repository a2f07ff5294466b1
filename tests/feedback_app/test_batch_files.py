from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from feedback_app import batch_files
from feedback_app.batch_files import Row
from models_app.learning.schema import Feature, Problem, Schema
from models_app.refusals import InvalidInput

SCHEMA = Schema(
    (
        Feature("size", "number"),
        Feature("ripe", "boolean"),
        Feature("colour", "category"),
        Feature("note", "text", required=False),
        Feature("picked", "datetime", required=False),
    )
)
HEADER = "size,ripe,colour,note,picked\n"


def rows(text: str, form: str = "csv") -> list[Row]:
    return list(batch_files.rows(io.BytesIO(text.encode()), form, SCHEMA))


def test_a_cell_becomes_what_its_feature_is() -> None:
    (row,) = rows(HEADER + '1.5e1,TRUE,7,"a, ""b""\n c",2024-05-31\n')

    assert row.instance == {
        "size": 15.0, "ripe": True, "colour": "7", "note": 'a, "b"\n c', "picked": "2024-05-31",
    }  # fmt: skip
    assert not row.problems


def test_an_empty_cell_is_missing_and_columns_may_come_in_any_order() -> None:
    (row,) = rows("colour,ripe,size\nred,false,-2\n")

    assert row.instance == {"size": -2.0, "ripe": False, "colour": "red"}
    assert rows(HEADER + ",true,red,,\n")[0].problems[0][:2] == ("size", "required")


@pytest.mark.parametrize("cell", ["nan", "inf", "1_000", "0x10", "1,5", " 1", "one", "٣"])
def test_what_is_no_number_stays_text_and_is_refused(cell: str) -> None:
    (row,) = rows(HEADER + f'"{cell}",true,red,,\n')

    assert [problem[:2] for problem in row.problems] == [("size", "invalid_type")]
    assert row.error.startswith("size: A number is expected")


def test_a_row_of_another_length_is_wrong_and_the_next_is_read() -> None:
    told = rows(HEADER + "1,true,red\n\n1,true,red,,\n")

    assert [[problem.code for problem in row.problems] for row in told] == [["invalid_row"], []]


def test_a_cell_beyond_all_measure_is_wrong_and_the_next_is_read() -> None:
    told = rows(HEADER + f"1,true,{'x' * 200_000},,\n1,true,red,,\n")

    assert [bool(row.problems) for row in told] == [True, False]


def test_lines_are_parsed_as_strictly_as_a_body() -> None:
    good = '{"size": 1, "ripe": true, "colour": "red"}'
    bad = ["{", '{"size": 1, "size": 2}', "[]", '{"size": NaN}']

    told = rows("\n".join([good, "", *bad, good]), "ndjson")

    assert [bool(row.problems) for row in told] == [False, True, True, True, True, False]
    assert told[1].problems[0].code == "parse_error"


@pytest.mark.parametrize(
    ("header", "code", "attr"),
    [
        ("size,ripe,color\n", "unknown_feature", "color"),
        ("size,ripe\n", "required", "colour"),
        ("size,size,ripe,colour\n", "duplicate_name", "size"),
        ("\n", "required", "size"),
    ],
)
def test_a_header_that_fits_no_row_is_refused_at_once(header: str, code: str, attr: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        batch_files.refuse_header(header.encode(), SCHEMA)

    assert (code, attr) in {(problem.code, problem.attr) for problem in refusal.value.problems}


def test_a_header_may_begin_with_a_byte_order_mark() -> None:
    batch_files.refuse_header("\ufeffsize,ripe,colour\r\n".encode(), SCHEMA)

    assert rows("\ufeffsize,ripe,colour\r\n1,true,red\r\n")[0].problems == []


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"a\xff", "invalid_utf8"), (b"a\xc3", "invalid_utf8"), (b"a\0", "invalid_text"),
     (b" \n", "empty"), (b"", "empty")],
)  # fmt: skip
def test_what_is_no_text_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        list(batch_files.checked_pieces(io.BytesIO(), body))

    assert refusal.value.code == code


def test_a_character_may_lie_on_the_border_of_two_pieces() -> None:
    pieces = list(batch_files.checked_pieces(io.BytesIO(b"\xa4!"), b"\xc3"))

    assert b"".join(pieces).decode() == "ä!"


def answer(**fields: Any) -> dict[str, Any]:
    return {"id": "1", "value": "=elm", "probabilities": {"=elm": 0.75, "oak": 0.25}} | fields


def test_answers_and_errors_come_in_the_order_of_the_rows() -> None:
    wrong = Row({}, [Problem("size", "required", "It is missing.")])
    told = [wrong, Row({"size": 1}, []), wrong]

    content = batch_files.head_of("csv", ("=elm", "oak"))
    content += batch_files.part_of("csv", ("=elm", "oak"), told, [answer()])

    lines = list(csv.reader(io.StringIO(content.decode(), newline="")))
    assert lines == [
        ["id", "value", "probability_=elm", "probability_oak", "error"],
        ["", "", "", "", "size: It is missing."],
        ["1", "'=elm", "0.75", "0.25", ""],
        ["", "", "", "", "size: It is missing."],
    ]
    lines_of_json = batch_files.part_of("ndjson", (), told, [answer()]).splitlines()
    assert json.loads(lines_of_json[1]) == answer()
    assert json.loads(lines_of_json[0])["error"] == "size: It is missing."


@pytest.mark.parametrize("text", ["=1+1", "+x", "-x", "@x", "\tx", "\rx"])
def test_no_cell_is_a_formula(text: str) -> None:
    """W5"""
    content = batch_files.part_of("csv", (), [Row({}, [])], [{"id": "1", "value": text}])

    (line,) = csv.reader(io.StringIO(content.decode(), newline=""))
    assert line[1] == f"'{text}"


@pytest.mark.parametrize("value", [-1.5, "-1", "+2.5e3"])
def test_numbers_stay_numbers(value: Any) -> None:
    """W5"""
    content = batch_files.part_of("csv", (), [Row({}, [])], [{"id": "1", "value": value}])

    assert content.decode() == f"1,{value},\r\n"
