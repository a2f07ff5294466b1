"""What a superuser fills in to make an API key."""

from __future__ import annotations

from datetime import timedelta

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextInputWidget

from everlearn.access import SCOPES, USUAL_SCOPES
from models_app.learning.triggers import parse_duration


class KeyForm(forms.Form):
    """Whose key it is, what it may do, and for how long."""

    name = forms.CharField(
        max_length=50, widget=UnfoldAdminTextInputWidget(),
        help_text="What program holds it; its account is named key-NAME.",
    )  # fmt: skip
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in SCOPES],
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
        help_text="; ".join(f"{who}: {', '.join(usual)}" for who, usual in USUAL_SCOPES.items()),
    )
    expires = forms.CharField(
        required=False, widget=UnfoldAdminTextInputWidget(),
        help_text="After so long, as 90d; empty: never.",
    )  # fmt: skip

    def clean_expires(self) -> timedelta | None:
        try:
            return parse_duration(given) if (given := self.cleaned_data["expires"]) else None
        except ValueError as error:
            raise ValidationError(str(error)) from error
