"""What cells say of the kind of their column and of how it is written; and what is asked."""

from __future__ import annotations

from collections import Counter

import pytest

from models_app.learning import cells
from models_app.learning.conventions import (
    Convention,
    Hints,
    Question,
    convention_of,
    decimal_of,
    reading_of,
)
from models_app.learning.reading import USUAL, Reading

MANY = [str(number) for number in range(40)]


def told(*texts: str, given: Reading = USUAL, **hints: str) -> Convention | None:
    return convention_of(Counter(texts), given, Hints(**hints))


def value(text: str, found: Convention | None) -> object:
    assert found
    return cells.reader_of(found.kind, found.reading)(text)


@pytest.mark.parametrize(
    ("texts", "text", "number"),
    [
        (["1", "2.5", "-3e2"], "-3e2", -300),
        (["5,25", "60,4"], "60,4", 60.4),
        (["1,200", "900", "12,345,678.5"], "12,345,678.5", 12345678.5),
        (["1.200,50", "3"], "1.200,50", 1200.5),
        (["1 200,5", "3"], "1 200,5", 1200.5),
        (["1\u202f200,5", "3"], "1\u202f200,5", 1200.5),
        (["1'200.5", "3"], "1'200.5", 1200.5),
        (["1’200.5", "3"], "1’200.5", 1200.5),
        (["$1,200.00", "$3", "$ 4"], "$1,200.00", 1200),
        (["1.200,00 €", "3 €", "-4,5 €"], "-4,5 €", -4.5),
        (["EUR 5", "EUR 7.5"], "EUR 7.5", 7.5),
        (["12%", "3.5 %"], "3.5 %", 3.5),
        (["(1,200)", "5"], "(1,200)", -1200),
        (["1.200,5-", "5"], "1.200,5-", -1200.5),
        (["\u22125", "7"], "\u22125", -5),
        (["0.123", "0.456"], "0.456", 0.456),
        (["0,123", "0,456"], "0,456", 0.456),
        (["0.12345678901234567", "2"], "2", 2),
        ([".5", "5.", "+1"], "5.", 5),
        ([" 5 ", "7"], " 5 ", 5),
    ],
)  # fmt: skip
def test_numbers_are_read_as_all_cells_write_them(
    texts: list[str], text: str, number: float
) -> None:
    found = told(*texts)

    assert found
    assert found.kind == "number"
    assert value(text, found) == number


@pytest.mark.parametrize(
    "word",
    ["", " ", "NA", "N/A", "n/a", "nA", "#N/A", ".", "<NA>", "--", "?", "#DIV/0!", "NULL", "None"],
)
def test_the_usual_words_for_missing_are_missing_among_numbers_dates_and_booleans(
    word: str,
) -> None:
    for texts in (["1", "2.5"], ["2024-01-01", "2024-02-01"], ["True", "false"], ["31/12/2024"]):
        found = told(*texts, word)

        assert found == told(*texts)
        assert value(word, found) is None


@pytest.mark.parametrize("word", ["NA", "None", "null", "?"])
def test_in_a_category_only_an_empty_cell_and_a_declared_word_is_missing(word: str) -> None:
    assert told("red", "green", word) is None
    assert not cells.is_missing(word, "category", USUAL)
    assert cells.is_missing(word, "category", Reading(missing=(word,)))
    assert cells.is_missing(" ", "category", USUAL)


@pytest.mark.parametrize(
    "texts",
    [
        ["02116", "10001", "94105"],
        ["007", "070", "700", "A7"],
        ["90071992547409931", "90071992547409933"],
        ["1234567890123456", "1"],
        ["-007", "1"],
    ],
)
def test_leading_zeros_and_more_than_15_digits_make_codes(texts: list[str]) -> None:
    assert told(*texts) is None


def test_codes_that_are_declared_to_be_numbers_are_read_as_such() -> None:
    found = reading_of(Counter(["007", "12"]), "number", USUAL, Hints())

    assert value("007", found) == 7


@pytest.mark.parametrize(
    ("texts", "form", "text", "moment"),
    [
        (["01/02/2024", "15/06/2024"], "%d/%m/%Y", "01/02/2024", "2024-02-01"),
        (["01/02/2024", "06/15/2024"], "%m/%d/%Y", "01/02/2024", "2024-01-02"),
        (["01.02.2024", "03.04.2024"], "%d.%m.%Y", "01.02.2024", "2024-02-01"),
        (["1-2-2024", "15-6-2024"], "%d-%m-%Y", "1-2-2024", "2024-02-01"),
        (["2024/02/01", "2024/06/15"], "%Y/%m/%d", "2024/02/01", "2024-02-01"),
        (["01/02/24", "15/06/24"], "%d/%m/%y", "01/02/24", "2024-02-01"),
        (["1 Feb 2024", "15 Jun 2024"], "%d %b %Y", "1 Feb 2024", "2024-02-01"),
        (["February 1, 2024", "June 15, 2024"], "%B %d, %Y", "June 15, 2024", "2024-06-15"),
        (["15/06/2024 08:30", "1/2/2024"], "%d/%m/%Y", "15/06/2024 08:30", "2024-06-15T08:30:00"),
        (["15/06/2024 08:30:05"], "%d/%m/%Y", "15/06/2024 08:30:05", "2024-06-15T08:30:05"),
        (["6/15/2024 8:30 PM"], "%m/%d/%Y", "6/15/2024 8:30 PM", "2024-06-15T20:30:00"),
        (["20240615T083000"], "%Y%m%dT%H%M%S", "20240615T083000", "2024-06-15T08:30:00"),
        (["2024-06-15 08:30:00 UTC"], "", "2024-06-15 08:30:00 UTC", "2024-06-15 08:30:00Z"),
        (["15.06.2024T08:30"], "%d.%m.%Y", "15.06.2024T08:30", "2024-06-15T08:30:00"),
        (["2024-06-15", "2024-06-15 08:30", "2024-06-15T08:30Z"], "", "2024-06-15", "2024-06-15"),
    ],
)  # fmt: skip
def test_dates_are_read_in_the_form_that_all_cells_have(
    texts: list[str], form: str, text: str, moment: str
) -> None:
    found = told(*texts)

    assert found
    assert (found.kind, found.reading.format) == ("datetime", form)
    assert value(text, found) == moment


def test_dates_that_do_not_tell_their_order_are_a_question_which_a_format_answers() -> None:
    with pytest.raises(Question, match="day or the month first") as asked:
        told("01/02/2024", "03/04/2024")

    assert asked.value.ways == ('format = "%d/%m/%Y"', 'format = "%m/%d/%Y"')
    found = told("01/02/2024", "03/04/2024", given=Reading(format="%m/%d/%Y"))
    assert value("01/02/2024", found) == "2024-01-02"


def test_dates_of_both_orders_are_a_question() -> None:
    with pytest.raises(Question, match="has the month first"):
        told("15/06/2024", "06/15/2024", "16/06/2024")


def test_dates_that_are_written_in_several_ways_are_a_question() -> None:
    with pytest.raises(Question, match="written in several ways, as '15/06/2024' and '2024-06-16'"):
        told("15/06/2024", "2024-06-16", "17/06/2024", "2024-06-18")


@pytest.mark.parametrize(
    ("cell", "called"),
    [
        ("0 days 01:30:00", "durations"),
        ("1 day, 2:00:00", "durations"),
        ("-1 days +22:30:00", "durations"),
        ("P1DT2H", "durations"),
        ("PT5M", "durations"),
        ("[1, 2]", "nested values"),
        ("{'a': 1}", "nested values"),
        ("<Leaf object at 0x7f3a>", "nested values"),
    ],
)
def test_what_has_no_meaning_in_a_column_is_asked_by_its_name(cell: str, called: str) -> None:
    with pytest.raises(Question, match=f"3 of 3 cells are {called}") as asked:
        convention_of(Counter({cell: 3}), USUAL, Hints())

    assert "name the column in ignore" in asked.value.ways
    assert told("P", "PT", "red") is None
    assert told("3 days", "red", "blue") is None


@pytest.mark.parametrize(
    ("agreeing", "odd", "kind"),
    [
        (MANY, "abc", "numbers"),
        (MANY, "12 apples", "numbers"),
        ([f"{one},5" for one in MANY], "1.5.2", "numbers"),
        ([f"2024-01-{one:02}" for one in range(1, 31)], "soon", "dates"),
        ([f"{one:02}/06/2024" for one in range(1, 31)], "31/06/2024", "dates"),
        (["True", "False"] * 20, "perhaps", "true or false"),
    ],
)
def test_what_nearly_all_cells_agree_on_is_a_question_that_names_the_odd_one(
    agreeing: list[str], odd: str, kind: str
) -> None:
    with pytest.raises(Question) as asked:
        told(*agreeing, odd)

    many = len(agreeing)
    assert asked.value.finding == f"{many} of {many + 1} cells are {kind} and {odd!r} is none"
    assert asked.value.cell == odd
    assert f'missing = ["{odd}"]' in asked.value.ways[0]


def test_the_answer_that_a_word_is_missing_settles_the_question() -> None:
    found = told(*MANY, "k.A.", given=Reading(missing=("k.A.",)))

    assert value("k.A.", found) is None
    assert value("7", found) == 7


def test_what_fewer_agree_on_is_no_number() -> None:
    assert told(*MANY[:10], "abc") is None


def test_a_comma_before_three_digits_groups_them_in_a_file_of_commas_and_is_asked_elsewhere() -> (
    None
):
    assert value("1,200", told("1,200", "3")) == 1200
    assert value("1.200", told("1.200", "3.500")) == 1.2
    with pytest.raises(Question, match=r"'1,200' may be 1.2 or 1200") as asked:
        told("1,200", "3", separator=";")

    assert asked.value.ways == ('decimal = ","', 'decimal = "."')
    assert value("1,200", told("1,200", "3", separator=";", decimal=",")) == 1.2
    assert value("1,200", told("1,200", "3", separator=";", decimal=".")) == 1200
    assert value("1.200", told("1.200", "3", separator=";", thousands=".")) == 1200


def test_other_columns_of_the_file_tell_its_decimal_sign() -> None:
    german = decimal_of([Counter(["5,25", "1"]), Counter(["1.200", "3"]), Counter(["a,b"])], USUAL)

    assert german == ","
    assert value("1.200", told("1.200", "3", separator=";", likely_decimal=german)) == 1200
    assert decimal_of([Counter(["5,25"]), Counter(["5.25"])], USUAL) == ""


def test_percent_signs_in_some_cells_only_are_a_question() -> None:
    with pytest.raises(Question, match=r"'0.12' has none"):
        told("12%", "0.12", "3%")


def test_what_was_assumed_is_said_with_an_example() -> None:
    assert told("1", "2") == Convention("number")
    dollars = told("$1,200", "$3")
    assert dollars
    assert dollars.assumptions == ("'$1,200' is read as 1200",)
