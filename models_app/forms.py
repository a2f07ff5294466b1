"""Forms made from what a model takes: one instance, a field a feature."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django import forms
from django.forms.boundfield import BoundField

from models_app.learning.kinds import Kind
from models_app.learning.schema import Feature, Problem, Schema

# A longer list is quicker to type into than to scroll through.
LONGEST_SELECT = 25


class FeatureField(BoundField):
    """A field whose id counts, since a feature's name may hold what an id may not."""

    @property
    def auto_id(self) -> str:
        return f"feature-{list(self.form.fields).index(self.name)}"

    @property
    def suggestions(self) -> tuple[str, ...]:
        """What a free text field offers to complete; empty for other fields."""
        return getattr(self.field, "suggestions", ())

    def build_widget_attrs(self, attrs: dict[str, Any], widget: Any = None) -> dict[str, Any]:
        listed = {"list": f"{self.auto_id}_suggestions"} if self.suggestions else {}
        return super().build_widget_attrs(attrs, widget) | listed


class Suggesting(forms.CharField):
    """Free text that offers the categories seen in training."""

    def __init__(self, suggestions: tuple[str, ...], **options: Any) -> None:
        super().__init__(**options)
        self.suggestions = suggestions


class InstanceForm(forms.Form):
    """One instance of `schema`; what is left empty is missing from it."""

    bound_field_class = FeatureField
    # So that no feature's name meets csrfmiddlewaretoken.
    prefix = "feature"

    def __init__(self, schema: Schema, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(data)
        for feature in schema.features:
            self.fields[feature.name] = _FIELD_OF[feature.kind](feature)

    @classmethod
    def showing(cls, schema: Schema, instance: Mapping[str, Any]) -> InstanceForm:
        """The form as it was when it gave `instance`."""
        form = cls(schema)
        form.initial = {name: _as_typed(value) for name, value in instance.items()}
        return form

    @property
    def instance(self) -> dict[str, Any]:
        """What was entered, as the schema takes it."""
        return {name: value for name, value in self.cleaned_data.items() if value not in (None, "")}

    def show(self, problems: Iterable[Problem]) -> None:
        """Put each problem beside its field; `attr` is as `instances.0.alcohol`."""
        for problem in problems:
            name = problem.attr.partition(".")[2].partition(".")[2]
            self.add_error(name if name in self.fields else None, problem.detail)


def _as_typed(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(feature: Feature) -> forms.Field:
    return forms.FloatField(
        required=feature.required, widget=forms.NumberInput(attrs={"inputmode": "decimal"})
    )


def _category(feature: Feature) -> forms.Field:
    if not 0 < len(feature.categories) <= LONGEST_SELECT:
        return Suggesting(feature.categories, required=feature.required, strip=False)
    nothing = "Choose…" if feature.required else "Not known"
    choices = [("", nothing), *((each, each) for each in feature.categories)]
    return forms.ChoiceField(choices=choices, required=feature.required)


def _boolean(feature: Feature) -> forms.Field:
    if feature.required:
        return forms.BooleanField(required=False)
    return forms.TypedChoiceField(
        choices=[("", "Not known"), ("true", "Yes"), ("false", "No")],
        coerce=lambda chosen: chosen == "true",
        empty_value=None,
        required=False,
    )


def _datetime(feature: Feature) -> forms.Field:
    # The browser sends ISO 8601 without a zone, which the schema takes as UTC.
    widget = forms.TextInput(attrs={"type": "datetime-local", "step": "any"})
    return forms.CharField(required=feature.required, widget=widget, help_text="UTC")


class _Text(forms.CharField):
    def to_python(self, value: str | None) -> str | None:
        # Browsers send each line end as two characters; training data has one.
        return super().to_python(value.replace("\r\n", "\n") if value else value)


def _text(feature: Feature) -> forms.Field:
    return _Text(required=feature.required, strip=False, widget=forms.Textarea(attrs={"rows": 3}))


_FIELD_OF: dict[Kind, Callable[[Feature], forms.Field]] = {
    "number": _number,
    "category": _category,
    "boolean": _boolean,
    "datetime": _datetime,
    "text": _text,
}
