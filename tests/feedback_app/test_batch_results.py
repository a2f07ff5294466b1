from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from feedback_app.batch_files import Row
from feedback_app.batch_results import Results
from models_app.learning.schema import Problem

WRONG = Problem("size", "required", "It is missing.")


def cells_of(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


def answer(**fields: Any) -> dict[str, Any]:
    return {"id": "1", "value": "=elm", "probabilities": {"=elm": 0.75, "oak": 0.25}} | fields


def test_answers_and_errors_come_in_the_order_of_the_rows() -> None:
    wrong = Row({}, [WRONG])
    told = [wrong, Row({"size": 1}, []), wrong]

    results = Results("csv", ("=elm", "oak"))
    lines = cells_of(results.head + results.part(told, [answer()]))

    assert lines == [
        ["prediction_id", "value", "probability_=elm", "probability_oak", "error", "warnings"],
        ["", "", "", "", "size: It is missing.", ""],
        ["1", "'=elm", "0.75", "0.25", "", ""],
        ["", "", "", "", "size: It is missing.", ""],
    ]
    lines_of_json = Results("ndjson").part(told, [answer()]).splitlines()
    assert json.loads(lines_of_json[1]) == answer()
    assert json.loads(lines_of_json[0])["error"] == "size: It is missing."


def test_the_cells_of_a_row_come_before_its_answer_or_error() -> None:
    told = [Row({}, [], ["7", "a;b"]), Row({}, [WRONG], ["x", ""])]
    results = Results("csv", (), ("", "who"), ";")

    assert (results.head + results.part(told, [{"id": "1", "value": 2.5}])).decode() == (
        ";who;prediction_id;value;error;warnings\r\n"
        '7;"a;b";1;2.5;;\r\n'
        "x;;;;size: It is missing.;\r\n"
    )


def test_warnings_stand_in_one_cell() -> None:
    warnings = [{"code": "unseen_category", "attr": one} for one in ("colour", "the town")]

    (line,) = cells_of(Results("csv").part([Row({}, [])], [answer(warnings=warnings)]))

    assert line[-1] == "unseen_category:colour; unseen_category:the town"


def test_a_column_that_is_called_as_one_of_the_answers_is_renamed() -> None:
    names = ("value", "input_value", "warnings", "probability_oak", "Value", "errors")
    (line,) = cells_of(Results("csv", ("oak",), names).head)

    assert line[: len(names)] == [
        "input_input_value", "input_value", "input_warnings", "input_probability_oak", "Value",
        "errors",
    ]  # fmt: skip


def test_members_that_are_no_features_stand_beside_an_answer_and_an_error() -> None:
    further = {"id": 7, "who": {"a": [1]}, "value": None}
    told = [Row({}, [], further=further), Row({}, [WRONG], further=further)]

    lines = map(json.loads, Results("ndjson").part(told, [answer()]).splitlines())

    copied = {"input_id": 7, "who": {"a": [1]}, "input_value": None}
    assert next(lines) == answer() | copied
    wrong = next(lines)
    assert wrong | copied == wrong
    assert (wrong["id"], wrong["error"]) == (None, "size: It is missing.")


def test_answers_of_a_release_that_copied_nothing_stand_below_their_names() -> None:
    of_before = b"7,elm,0.75,0.25,\r\n"
    results = Results("csv", ("elm", "oak"))
    content = results.head + of_before + results.part([Row({}, [], ["9"])], [answer(value="elm")])

    first, second = csv.DictReader(io.StringIO(content.decode(), newline=""))

    assert (first["prediction_id"], first["probability_oak"], first["error"]) == ("7", "0.25", "")
    assert (second["value"], second["error"], second["warnings"]) == ("elm", "", "")


@pytest.mark.parametrize("text", ["=1+1", "+x", "-x", "@x", "\tx", "\rx"])
def test_no_cell_is_a_formula(text: str) -> None:
    """W5"""
    content = Results("csv").part([Row({}, [])], [{"id": "1", "value": text}])

    (line,) = cells_of(content)
    assert line[1] == f"'{text}"


@pytest.mark.parametrize("text", ["=1+1", "-1+2", "+A1", "-", "-5,25", "@x", "-1.200 %"])
def test_no_cell_that_is_copied_is_a_formula_and_numbers_stay_as_they_are_written(
    text: str,
) -> None:
    """W5"""
    results = Results("csv", (), (text,))

    head, line = cells_of(results.head + results.part([Row({}, [WRONG], [text])], []))

    marked = text if text in {"-", "-5,25", "-1.200 %"} else f"'{text}"
    assert (head[0], line[0]) == (marked, marked)


@pytest.mark.parametrize("value", [-1.5, "-1", "+2.5e3"])
def test_numbers_stay_numbers(value: Any) -> None:
    """W5"""
    content = Results("csv").part([Row({}, [])], [{"id": "1", "value": value}])

    assert content.decode() == f"1,{value},,\r\n"
