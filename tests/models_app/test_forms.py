from __future__ import annotations

from typing import Any

import pytest
from django.http import QueryDict

from models_app.forms import FeatureField, InstanceForm
from models_app.learning.reading import Reading
from models_app.learning.schema import Feature, Problem, Schema

CITIES = tuple(f"town {index}" for index in range(40))


def form_for(*features: Feature, **entered: str) -> InstanceForm:
    data = QueryDict(mutable=True)
    for name, value in entered.items():
        data[f"feature-{name}"] = value
    return InstanceForm(Schema(features), data)


@pytest.mark.parametrize(
    ("feature", "entered", "value"),
    [
        (Feature("x", "number"), "13", 13.0),
        (Feature("x", "number"), "-1.5e3", -1500.0),
        (Feature("x", "category", categories=("a", "b")), "b", "b"),
        (Feature("x", "category", categories=CITIES), "elsewhere", "elsewhere"),
        (Feature("x", "category"), "any", "any"),
        (Feature("x", "boolean"), "on", True),
        (Feature("x", "boolean", required=False), "true", True),
        (Feature("x", "boolean", required=False), "false", False),
        (Feature("x", "datetime"), "2024-05-31T12:30", "2024-05-31T12:30"),
        (Feature("x", "text"), "  two  spaces ", "  two  spaces "),
        (Feature("x", "text"), "one\r\ntwo", "one\ntwo"),
    ],
)
def test_each_kind_becomes_the_json_that_the_schema_takes(
    feature: Feature, entered: str, value: Any
) -> None:
    form = form_for(feature, x=entered)

    assert form.is_valid()
    assert form.instance == {"x": value}
    Schema((feature,)).check([form.instance])


def test_a_required_box_left_empty_says_false() -> None:
    form = form_for(Feature("open", "boolean"))

    assert form.is_valid()
    assert form.instance == {"open": False}


@pytest.mark.parametrize("kind", ["number", "category", "text", "boolean", "datetime"])
def test_an_optional_feature_left_empty_is_missing(kind: Any) -> None:
    form = form_for(Feature("x", kind, required=False, categories=("a",)), x="")

    assert form.is_valid()
    assert form.instance == {}


@pytest.mark.parametrize("kind", ["number", "category", "text", "datetime"])
def test_a_required_feature_left_empty_is_asked_for(kind: Any) -> None:
    assert list(form_for(Feature("x", kind, categories=("a",)), x="").errors) == ["x"]


@pytest.mark.parametrize("entered", ["nan", "inf", "1e999", "twelve", "0x10"])
def test_what_is_no_finite_number_is_refused(entered: str) -> None:
    assert "x" in form_for(Feature("x", "number"), x=entered).errors


@pytest.mark.parametrize("name", ["csrfmiddlewaretoken", "class", "mean radius", "größe.é", 'a"b'])
def test_a_feature_may_have_any_name(name: str) -> None:
    form = form_for(Feature(name, "number"), **{name: "4"})

    assert form.is_valid()
    assert form.instance == {name: 4.0}
    assert form[name].auto_id == "feature-0"


def test_names_and_categories_are_escaped() -> None:
    hostile = "<img src=x onerror=alert(1)>"
    form = form_for(Feature(hostile, "category", categories=(hostile,)))

    assert "<img" not in str(form[hostile])


def test_many_categories_are_offered_to_a_free_text_field() -> None:
    field = form_for(Feature("city", "category", categories=CITIES))["city"]

    assert isinstance(field, FeatureField)
    assert field.suggestions == CITIES
    assert f'list="{field.auto_id}_suggestions"' in str(field)


def test_a_few_categories_are_a_list_to_choose_from() -> None:
    field = form_for(Feature("color", "category", categories=("red", "green")))["color"]

    assert isinstance(field, FeatureField)
    assert "<select" in str(field)
    assert field.suggestions == ()


def test_a_problem_of_the_schema_stands_beside_its_field() -> None:
    form = form_for(Feature("size", "number"), size="1e31")
    assert form.is_valid()

    form.show([Problem("instances.0.size", "not_finite", "A finite number is expected.")])

    assert form.errors == {"size": ["A finite number is expected."]}


def test_a_problem_without_a_field_is_still_shown() -> None:
    form = form_for(Feature("x", "number"), x="1")
    assert form.is_valid()

    form.show([Problem("instances.0.gone", "unknown_feature", "No such feature.")])

    assert form.non_field_errors() == ["No such feature."]


def test_an_instance_is_shown_as_it_was_entered() -> None:
    schema = Schema((Feature("n", "number"), Feature("b", "boolean", required=False)))

    shown = InstanceForm.showing(schema, {"n": 2.0, "b": False})

    assert 'value="2"' in str(shown["n"])
    assert '<option value="false" selected>' in str(shown["b"])


GERMAN = Reading(decimal=",", thousands=".", unit="€")


@pytest.mark.parametrize(
    ("reading", "entered", "value"),
    [
        (Reading(decimal=","), "8,25", 8.25),
        (Reading(decimal=","), "-0,5", -0.5),
        (Reading(decimal=","), "8.25", 8.25),
        (Reading(decimal=","), "12", 12.0),
        (GERMAN, "1.234,50 €", 1234.5),
        (GERMAN, "1.200", 1200.0),
        (Reading(thousands=","), "1,200", 1200.0),
        (Reading(thousands="'"), "1\u2019200.5", 1200.5),
        (Reading(decimal=",", thousands=" "), "1\u202f200,5", 1200.5),
        (Reading(unit="%"), "12.5 %", 12.5),
        (Reading(unit="$"), "$3", 3.0),
    ],
)
def test_a_number_may_be_typed_as_its_file_writes_it(
    reading: Reading, entered: str, value: float
) -> None:
    form = form_for(Feature("x", "number", reading=reading), x=entered)

    assert form.is_valid()
    assert form.instance == {"x": value}


@pytest.mark.parametrize(
    ("reading", "entered", "told"),
    [
        (Reading(), "8,25", "Enter a number as 12.5, not '8,25'."),
        (Reading(), "1,200", "Enter a number as 12.5, not '1,200'."),
        (Reading(decimal=","), "1.200", "Enter a number as 12,5, not '1.200'."),
        (GERMAN, "8.25", "Enter a number as 1.234,5, not '8.25'."),
        (GERMAN, "much", "Enter a number as 1.234,5, not 'much'."),
    ],
)
def test_a_number_that_may_mean_another_is_refused_with_how_to_write_it(
    reading: Reading, entered: str, told: str
) -> None:
    form = form_for(Feature("x", "number", reading=reading), x=entered)

    assert form.errors == {"x": [told]}


def test_how_numbers_are_written_is_said_where_it_is_not_usual() -> None:
    usual = form_for(Feature("x", "number"))["x"]
    euros = form_for(Feature("x", "number", reading=GERMAN))["x"]

    assert 'type="number"' in str(usual)
    assert usual.help_text == ""
    assert 'type="text"' in str(euros)
    assert 'inputmode="decimal"' in str(euros)
    assert euros.help_text == "In €, as 1.234,5"


@pytest.mark.parametrize(
    ("form", "entered"),
    [
        ("%d/%m/%Y", "15/06/2024"),
        ("%d/%m/%Y", "15/06/2024 14:30"),
        ("%d/%m/%Y", "2024-06-15"),
        ("%d.%m.%Y", "15.06.2024"),
        ("%m/%d/%y", "06/15/24"),
        ("", "2024-06-15"),
        ("", "2024-06-15T14:30"),
    ],
)
def test_a_date_may_be_typed_as_its_file_writes_it(form: str, entered: str) -> None:
    feature = Feature("x", "datetime", reading=Reading(format=form))
    typed = form_for(feature, x=entered)

    assert typed.is_valid()
    Schema((feature,)).check([typed.instance])
    (normal,) = Schema((feature,)).normalized([typed.instance])
    assert normal["x"].startswith("2024-06-15")


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ("%d/%m/%Y", "Enter a date as 31/05/2024 or 2024-05-31, not '15/06/24'."),
        ("%d %b %Y", "Enter a date as 31 May 2024 or 2024-05-31, not '15/06/24'."),
        ("", "Enter a date as 2024-05-31 or 2024-05-31T14:30, not '15/06/24'."),
    ],
)
def test_a_wrong_date_is_named_with_how_to_write_it(form: str, told: str) -> None:
    feature = Feature("x", "datetime", reading=Reading(format=form))

    assert form_for(feature, x="15/06/24").errors == {"x": [told]}


def test_how_dates_are_written_is_said_where_the_file_has_a_format_of_its_own() -> None:
    field = form_for(Feature("x", "datetime", reading=Reading(format="%d/%m/%Y")))["x"]

    assert 'type="text"' in str(field)
    assert field.help_text == "As 31/05/2024 or 2024-05-31; UTC"


@pytest.mark.parametrize(
    ("kind", "word"),
    [("number", "n/a"), ("number", "k.A."), ("datetime", "#N/A"), ("category", "k.A."),
     ("text", "k.A."), ("text", "  "), ("category", " ")],
)  # fmt: skip
def test_the_words_for_missing_of_the_file_are_missing_here_too(kind: Any, word: str) -> None:
    reading = Reading(missing=("k.A.",))
    optional = form_for(Feature("x", kind, required=False, reading=reading), x=word)
    required = form_for(Feature("x", kind, reading=reading), x=word)

    assert optional.is_valid()
    assert optional.instance == {}
    assert required.errors == {"x": ["This field is required."]}


@pytest.mark.parametrize(
    ("known", "entered", "value"),
    [
        (("007", "070"), "007", "007"),
        (("False", "True"), "True", "True"),
        (("False", "True"), "true", "True"),
        (("1.0", "2.0"), "2", "2.0"),
        (("a", "b"), " a ", "a"),
    ],
)
def test_categories_are_offered_and_sent_as_the_file_spells_them(
    known: tuple[str, ...], entered: str, value: str
) -> None:
    form = form_for(Feature("x", "category", categories=known), x=entered)

    assert form.is_valid()
    assert form.instance == {"x": value}
    assert f'<option value="{value}"' in str(form["x"])


@pytest.mark.parametrize(
    ("entered", "value"),
    [("on", True), ("yes", True), ("1", True), ("no", False), ("0", False), ("False", False)],
)
@pytest.mark.parametrize("required", [True, False])
def test_programs_may_say_a_truth_in_the_words_of_files(
    required: bool, entered: str, value: bool
) -> None:
    form = form_for(Feature("x", "boolean", required=required), x=entered)

    assert form.is_valid()
    assert form.instance == {"x": value}


@pytest.mark.parametrize("required", [True, False])
def test_what_is_neither_true_nor_false_is_refused(required: bool) -> None:
    form = form_for(Feature("x", "boolean", required=required), x="maybe")

    assert form.errors == {"x": ["'maybe' is neither true nor false."]}


def test_a_feature_goes_by_its_label_and_is_sent_by_its_name() -> None:
    data = QueryDict("feature-x=1")
    form = InstanceForm(Schema((Feature("x", "number"),)), data, labels={"x": "Alcohol (% vol.)"})

    assert form["x"].label == "Alcohol (% vol.)"
    assert form.is_valid()
    assert form.instance == {"x": 1.0}


def test_a_number_is_shown_as_its_file_writes_it() -> None:
    schema = Schema((Feature("x", "number", reading=GERMAN),))

    assert 'value="1234,5"' in str(InstanceForm.showing(schema, {"x": 1234.5})["x"])


def test_only_the_first_of_many_problems_are_listed_above_the_form() -> None:
    form = form_for(*(Feature(f"x{place}", "number") for place in range(30)))

    assert [field.name for field in form.wrong] == [f"x{place}" for place in range(20)]
    assert form.more_wrong == 10
