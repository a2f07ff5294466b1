"""Forms made from what a model takes: one instance, a field a feature."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.forms.boundfield import BoundField

from models_app import typed_values
from models_app.learning import cells
from models_app.learning.kinds import Kind
from models_app.learning.labels import Spellings
from models_app.learning.reading import USUAL
from models_app.learning.schema import Feature, Problem, Schema

# A longer list is quicker to type into than to scroll through.
LONGEST_SELECT = 25
# Above the form; beside its field stands each.
PROBLEMS_SHOWN = 20


class FeatureField(BoundField):
    """A field whose id counts, since a feature's name may hold what an id may not."""

    form: InstanceForm

    @property
    def auto_id(self) -> str:
        return f"feature-{self.form.places[self.name]}"

    @property
    def suggestions(self) -> tuple[str, ...]:
        """What a free text field offers to complete; empty for other fields."""
        return getattr(self.field, "suggestions", ())

    def build_widget_attrs(self, attrs: dict[str, Any], widget: Any = None) -> dict[str, Any]:
        listed = {"list": f"{self.auto_id}_suggestions"} if self.suggestions else {}
        return super().build_widget_attrs(attrs, widget) | listed


class InstanceForm(forms.Form):
    """One instance of `schema`; what is left empty is missing from it.

    labels: what people call a feature, by its name, where that is another word.
    """

    bound_field_class = FeatureField
    # So that no feature's name meets csrfmiddlewaretoken.
    prefix = "feature"

    def __init__(
        self,
        schema: Schema,
        data: Mapping[str, Any] | None = None,
        *,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(data)
        self.places = {name: place for place, name in enumerate(schema.names)}
        for feature in schema.features:
            field = _FIELD_OF[feature.kind](feature)
            field.label = (labels or {}).get(feature.name, feature.name)
            self.fields[feature.name] = field

    @classmethod
    def showing(
        cls, schema: Schema, instance: Mapping[str, Any], *, labels: Mapping[str, str] | None = None
    ) -> InstanceForm:
        """The form as it was when it gave `instance`."""
        form = cls(schema, labels=labels)
        form.initial = {
            one.name: _as_typed(one, instance[one.name])
            for one in schema.features
            if one.name in instance
        }
        return form

    @property
    def wrong(self) -> list[BoundField]:
        """The first fields that something is wrong with."""
        return [self[name] for name in self.fields if name in self.errors][:PROBLEMS_SHOWN]

    @property
    def more_wrong(self) -> int:
        """How many more there are."""
        return len(self.errors.keys() - {NON_FIELD_ERRORS}) - len(self.wrong)

    @property
    def instance(self) -> dict[str, Any]:
        """What was entered, as the schema takes it."""
        return {name: value for name, value in self.cleaned_data.items() if value not in (None, "")}

    def show(self, problems: Iterable[Problem]) -> None:
        """Put each problem beside its field; `attr` is as `instances.0.alcohol`."""
        for problem in problems:
            name = problem.attr.partition(".")[2].partition(".")[2]
            self.add_error(name if name in self.fields else None, problem.detail)


def _as_typed(feature: Feature, value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    if feature.kind == "number" and isinstance(value, int | float):
        return typed_values.as_typed(value, feature.reading)
    return value


class _Cell(forms.CharField):
    """A text that is read as a cell of the feature's column would be."""

    def __init__(self, feature: Feature, **options: Any) -> None:
        super().__init__(required=feature.required, strip=False, **options)
        self.feature = feature

    def to_python(self, value: str | None) -> Any:
        text = super().to_python(value) or ""
        if cells.is_missing(text, self.feature.kind, self.feature.reading):
            return None
        try:
            return self.value_of(text)
        except ValueError as error:
            raise ValidationError(str(error)) from error

    def value_of(self, text: str) -> Any:
        """What is typed, as JSON has it. Raises ValueError with what to type instead."""
        return text


class _Number(_Cell):
    def value_of(self, text: str) -> float:
        return typed_values.number(text, self.feature.reading)


class _Datetime(_Cell):
    def value_of(self, text: str) -> str:
        return typed_values.moment(text, self.feature.reading)


class _Text(_Cell):
    def value_of(self, text: str) -> str:
        # Browsers send each line end as two characters; training data has one.
        return text.replace("\r\n", "\n")


class _Suggesting(_Cell):
    """Free text that offers the categories seen in training."""

    @property
    def suggestions(self) -> tuple[str, ...]:
        return self.feature.categories


class _Choice(forms.ChoiceField):
    """One of the categories, which may also be sent as JSON or a file would spell it."""

    def __init__(self, feature: Feature) -> None:
        nothing = "Choose…" if feature.required else "Not known"
        choices = [("", nothing), *((each, each) for each in feature.categories)]
        super().__init__(choices=choices, required=feature.required)
        self.spellings = Spellings(feature.categories)

    def to_python(self, value: Any) -> str:
        return self.spellings.of(super().to_python(value))


class _BoxInput(forms.CheckboxInput):
    """A box whose value is what was sent, where Django's takes every word for true."""

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> Any:
        return data.get(name, False)


class _Box(forms.BooleanField):
    """A box that says false when it is empty; programs may say yes or no, true or false."""

    widget = _BoxInput

    def to_python(self, value: Any) -> bool:
        return _truth(value) if value else False


class _Truth(forms.TypedChoiceField):
    """Yes, no, or not known."""

    def __init__(self) -> None:
        choices = [("", "Not known"), ("true", "Yes"), ("false", "No")]
        super().__init__(choices=choices, coerce=_truth, empty_value=None, required=False)

    def to_python(self, value: Any) -> str:
        return str(_truth(value)).lower() if value else ""


def _truth(value: str | bool) -> bool:
    try:
        return cells.boolean(str(value), USUAL)
    except ValueError as error:
        raise ValidationError(f"{error}.") from error


def _number(feature: Feature) -> forms.Field:
    told = typed_values.help_of_number(feature.reading)
    # A browser's own field of numbers takes no other signs than those of its own language.
    kind = {} if told else {"type": "number", "step": "any"}
    widget = forms.TextInput(attrs={**kind, "inputmode": "decimal"})
    return _Number(feature, widget=widget, help_text=told)


def _category(feature: Feature) -> forms.Field:
    if not 0 < len(feature.categories) <= LONGEST_SELECT:
        return _Suggesting(feature)
    return _Choice(feature)


def _boolean(feature: Feature) -> forms.Field:
    return _Box(required=False) if feature.required else _Truth()


def _datetime(feature: Feature) -> forms.Field:
    told = typed_values.help_of_date(feature.reading)
    # The browser sends ISO 8601 without a zone, which the schema takes as UTC.
    kind = {} if feature.reading.format else {"type": "datetime-local", "step": "any"}
    return _Datetime(feature, widget=forms.TextInput(attrs=kind), help_text=told)


def _text(feature: Feature) -> forms.Field:
    return _Text(feature, widget=forms.Textarea(attrs={"rows": 3}))


_FIELD_OF: dict[Kind, Callable[[Feature], forms.Field]] = {
    "number": _number,
    "category": _category,
    "boolean": _boolean,
    "datetime": _datetime,
    "text": _text,
}
