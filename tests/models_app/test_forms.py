from __future__ import annotations

from typing import Any

import pytest
from django.http import QueryDict

from models_app.forms import FeatureField, InstanceForm
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
    form = form_for(Feature("when", "datetime"), when="last tuesday")
    assert form.is_valid()

    form.show([Problem("instances.0.when", "invalid_type", "A date is expected.")])

    assert form.errors == {"when": ["A date is expected."]}


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
