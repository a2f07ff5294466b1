from __future__ import annotations

import io

import pytest

from feedback_app import batch_files
from feedback_app.batch_files import Row
from models_app.learning.reading import Reading
from models_app.learning.schema import Feature, Schema
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


@pytest.mark.parametrize("cell", ["1_000", "0x10", "1,5", "1 000", "one", "$5", "²"])
def test_what_is_no_number_is_refused_with_its_cell(cell: str) -> None:
    (row,) = rows(HEADER + f'"{cell}",true,red,,\n')

    assert [problem[:2] for problem in row.problems] == [("size", "invalid_type")]
    assert row.error == f"size: A number is expected, not {cell!r}."


@pytest.mark.parametrize("cell", ["nan", "inf", "NA", "n/a", "#DIV/0!", "null", "-", "?", " "])
def test_the_usual_words_are_missing_in_a_number(cell: str) -> None:
    (row,) = rows(HEADER + f"{cell},true,{cell},,\n")

    assert ("size", "required") in [problem[:2] for problem in row.problems]
    assert row.instance.get("colour") == (cell if cell.strip() else None)


@pytest.mark.parametrize(
    ("cells", "attr", "told"),
    [
        ("1,perhaps,red,,", "ripe", "true or false is expected, not 'perhaps'."),
        ("1,true,red,,31/05/2024", "picked", "is expected, not '31/05/2024'."),
        ("1e400,true,red,,", "size", "A finite number between -1e30 and 1e30 is expected."),
        (f"{'9' * 90}x,true,red,,", "size", f"A number is expected, not '{'9' * 40}'."),
    ],
)
def test_a_cell_that_is_no_value_is_named_as_it_stands(cells: str, attr: str, told: str) -> None:
    (row,) = rows(HEADER + cells + "\n")

    (problem,) = row.problems
    assert problem.attr == attr
    assert problem.detail.endswith(told)


def test_cells_are_read_by_the_readings_of_the_schema() -> None:
    features = (
        Feature("price", "number", reading=Reading(decimal=",", thousands=".", unit="€")),
        Feature("day", "datetime", reading=Reading(format="%d/%m/%Y")),
        Feature("code", "category", reading=Reading(missing=("k.A.",)), required=False),
    )
    file = io.BytesIO("price;day;code\n1.234,50 €;15/06/2024;007\n-5;15/06/2024;k.A.\n".encode())

    first, second = batch_files.rows(file, "csv", Schema(features), separator=";")

    assert first.instance == {"price": 1234.5, "day": "2024-06-15", "code": "007"}
    assert second.instance == {"price": -5.0, "day": "2024-06-15"}
    assert second.cells == ["-5", "15/06/2024", "k.A."]


def test_cells_that_a_row_lacks_are_missing_as_in_training() -> None:
    short, shorter = rows(HEADER + "1,true,red\n\n1,true\n")

    assert (short.problems, short.cells) == ([], ["1", "true", "red", "", ""])
    assert [problem[:2] for problem in shorter.problems] == [("colour", "required")]


def test_a_row_may_end_with_separators_but_has_no_more_cells_than_the_header() -> None:
    good, wrong, next_one = rows(HEADER + "1,true,red,,,\n1,5,true,red,,,x\n1,true,red,,\n")

    assert (good.problems, good.cells) == ([], ["1", "true", "red", "", ""])
    assert wrong.error == "The row has 7 cells, the header has 5."
    assert wrong.cells == ["1", "5", "true", "red", ""]
    assert not next_one.problems


def test_a_cell_beyond_all_measure_is_wrong_and_the_next_is_read() -> None:
    told = rows(HEADER + f"1,true,{'x' * 200_000},,\n1,true,red,,\n")

    assert [bool(row.problems) for row in told] == [True, False]
    assert told[0].error == "A cell of the row is too long to be read."


def test_lines_are_parsed_as_strictly_as_a_body() -> None:
    good = '{"size": 1, "ripe": true, "colour": "red"}'
    bad = ["{", '{"size": 1, "size": 2}', "[]", '{"size": NaN}']

    told = rows("\n".join([good, "", *bad, good]), "ndjson")

    assert [bool(row.problems) for row in told] == [False, True, True, True, True, False]
    assert told[1].problems[0].code == "parse_error"


def test_members_that_are_no_features_are_kept_beside_the_instance() -> None:
    (row,) = rows('{"size": 1, "ripe": true, "colour": "red", "id": {"a": [1]}}', "ndjson")

    assert row.instance == {"size": 1, "ripe": True, "colour": "red"}
    assert (row.problems, row.further) == ([], {"id": {"a": [1]}})


def test_a_line_without_any_feature_is_refused_where_none_is_required() -> None:
    schema = Schema((Feature("size", "number", required=False),))
    file = io.BytesIO(b'{"Size": 1}\n{}\n{"size": null, "Size": 1}\n')

    told = list(batch_files.rows(file, "ndjson", schema))

    assert [[one.code for one in row.problems] for row in told] == [["no_features"], [], []]


@pytest.mark.parametrize(
    ("header", "code", "attr"),
    [
        ("size,ripe,color\n", "required", "colour"),
        ("size,ripe\n", "required", "colour"),
        ("size,size,ripe,colour\n", "duplicate_name", "size"),
        ("size,ripe,colour,who, who\n", "duplicate_name", "who"),
        ("\n", "required", "size"),
        ('"size\n', "required", "ripe"),
        (f'"{"x" * 200_000}"\n', "required", "size"),
        ("size,ripe,colour" + ",a" * 10_000, "too_many_fields", ""),
    ],
)
def test_a_header_that_fits_no_row_is_refused_at_once(header: str, code: str, attr: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        batch_files.header_of(header.encode(), SCHEMA)

    assert (code, attr) in {(problem.code, problem.attr) for problem in refusal.value.problems}


def test_a_missing_column_is_refused_with_the_name_that_is_nearest() -> None:
    with pytest.raises(InvalidInput) as refusal:
        batch_files.header_of(b"who,size,ripe,color\n", SCHEMA)

    (problem,) = refusal.value.problems
    told = "There is no column 'colour'; did you mean 'color'? The feature is required."
    assert problem.detail == told


def test_a_header_without_any_feature_is_refused_where_none_is_required() -> None:
    schema = Schema((Feature("size", "number", required=False),))

    with pytest.raises(InvalidInput) as refusal:
        batch_files.header_of(b"Size,who\n", schema)

    assert refusal.value.code == "no_features"


def test_columns_that_are_no_features_may_be_there_with_and_without_names() -> None:
    header = batch_files.header_of(b",size, who ,ripe,,colour\n", SCHEMA)

    assert header == (("", "size", "who", "ripe", "", "colour"), ",")


@pytest.mark.parametrize("declared", [";", ",", "\t", "~"])
@pytest.mark.parametrize("separator", [";", ",", "\t", "|"])
def test_the_header_shows_what_separates_the_cells(separator: str, declared: str) -> None:
    header = separator.join(("size", "ripe", "colour", '"a,b;c|d"')).encode()

    found = batch_files.header_of(header, SCHEMA, separator=declared)

    assert found == (("size", "ripe", "colour", "a,b;c|d"), separator)


def test_a_separator_of_the_models_own_is_tried_too() -> None:
    found = batch_files.header_of(b"size~ripe~colour\n", SCHEMA, separator="~")

    assert found == (("size", "ripe", "colour"), "~")


def test_one_column_is_separated_as_the_models_data_is() -> None:
    schema = Schema((Feature("size", "number", reading=Reading(decimal=",")),))

    assert batch_files.header_of(b"size\n8,25\n", schema, separator=";").separator == ";"


def test_a_first_line_that_does_not_end_is_refused() -> None:
    with pytest.raises(InvalidInput, match="too long"):
        batch_files.header_of(b"size,ripe,colour,a", SCHEMA, cut=True)


def test_a_header_may_begin_with_a_byte_order_mark() -> None:
    batch_files.header_of("\ufeffsize,ripe,colour\r\n".encode(), SCHEMA)

    assert rows("\ufeffsize,ripe,colour\r\n1,true,red\r\n")[0].problems == []
