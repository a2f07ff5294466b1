"""What staff fill in: policies, and the reason for a decision."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import QuerySet
from pydantic import ValidationError
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from models_app import promotion
from models_app.models import Deployment, ModelVersion, RegisteredModel
from models_app.policies import POLICIES


def _text(help_text: str) -> forms.CharField:
    widget = UnfoldAdminTextInputWidget()
    return forms.CharField(required=False, help_text=help_text, widget=widget)


def _number(help_text: str) -> forms.FloatField:
    widget = UnfoldAdminTextInputWidget(attrs={"type": "number", "step": "any"})
    return forms.FloatField(help_text=help_text, widget=widget)


def _count(help_text: str, *, required: bool = True) -> forms.IntegerField:
    widget = UnfoldAdminTextInputWidget(attrs={"type": "number"})
    return forms.IntegerField(required=required, help_text=help_text, widget=widget)


def _choice(*words: str, help_text: str) -> forms.ChoiceField:
    choices = [(word, word) for word in words]
    return forms.ChoiceField(choices=choices, help_text=help_text, widget=UnfoldAdminSelectWidget())


class PolicyForm(forms.ModelForm[RegisteredModel]):
    """A model's policies, field by field; the declaration's own rules check them."""

    retrain_schedule = _text("Cron, UTC, as 0 3 * * *; empty: never by the clock.")
    retrain_feedback = _count(
        "Accepted feedback since the last snapshot; empty: never by count.", required=False
    )
    retrain_new_rows = _count(
        "New rows in the data source since the last snapshot; empty: never by count.",
        required=False,
    )
    retrain_cooldown = _text("At least so long between two automatic runs: 30s, 15m, 6h, 1d.")
    promotion_mode = _choice("manual", "auto", help_text="Who promotes what passes the gate.")
    promotion_margin = _number("By how much a challenger must beat the champion.")
    promotion_min_rows = _count("Unseen rows needed, else HOLD.")
    promotion_external = _choice(
        "follow", "review", help_text="What becomes of an alias that somebody moved in MLflow."
    )
    feedback_review = _choice(
        "all", "suspicious", "none", help_text="What waits for a person before it may train."
    )
    feedback_weight = _number("What a row of feedback counts, a row of base data being 1.")
    feedback_max_share_per_source = _number("Of one training set's feedback, from one source.")

    class Meta:
        model = RegisteredModel
        fields = ()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for group, policy in POLICIES.items():
            for key, value in policy.model_validate(getattr(self.instance, group)):
                if (name := f"{group}_{key}") in self.fields:
                    self.fields[name].label = key.replace("_", " ").capitalize()
                    self.initial[name] = value

    def clean(self) -> None:
        for group, policy in POLICIES.items():
            given = {
                key: self.cleaned_data[f"{group}_{key}"]
                for key in policy.model_fields
                if self.cleaned_data.get(f"{group}_{key}") not in (None, "")
            }
            try:
                checked = policy.model_validate(given)
            except ValidationError as error:
                for problem in error.errors():
                    self.add_error(f"{group}_{problem['loc'][0]}", problem["msg"])
            else:
                setattr(self.instance, group, checked.model_dump(exclude_none=True))


class ReasonForm(forms.Form):
    """A decision that somebody has to give the reason for."""

    reason = forms.CharField(
        max_length=1000, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="It is kept for good.",
    )  # fmt: skip


class DecisionForm(ReasonForm):
    """The reason, and the generation that served when the page was shown."""

    expected_generation = forms.IntegerField(widget=forms.HiddenInput)


class PromotionForm(DecisionForm):
    """Whether the gate's word counts, too, from those who may override it."""

    override = forms.BooleanField(
        required=False, label="Promote it against the gate's word", widget=UnfoldBooleanWidget()
    )

    def __init__(self, *args: Any, may_override: bool, **options: Any) -> None:
        super().__init__(*args, **options)
        if not may_override:
            del self.fields["override"]


class RollbackForm(DecisionForm):
    """Which earlier version shall serve again, too."""

    field_order = ("to", "reason")

    def __init__(self, *args: Any, registered_model: RegisteredModel, **options: Any) -> None:
        super().__init__(*args, **options)
        before = promotion.served_before(registered_model)
        self.fields["to"] = forms.ModelChoiceField(
            queryset=_served_before(registered_model),
            label="Serve again",
            required=False,
            empty_label=f"what served before: {before}" if before else "nothing served before",
            widget=UnfoldAdminSelectWidget(),
        )
        self.order_fields(self.field_order)


def _served_before(model: RegisteredModel) -> QuerySet[ModelVersion]:
    lines = Deployment.objects.filter(registered_model=model)
    served = ModelVersion.objects.filter(pk__in=lines.values("version"))
    return served.exclude(pk=model.champion_id or 0).select_related("registered_model")
