"""What a superuser fills in to make, limit or roll an API key."""

from __future__ import annotations

from datetime import timedelta

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextInputWidget

from everlearn.access import SCOPES, USUAL_SCOPES
from everlearn.key_quotas import QuotaForm
from models_app.learning.triggers import parse_duration


def _duration(text: str) -> timedelta | None:
    try:
        return parse_duration(text) if text else None
    except ValueError as error:
        raise ValidationError(str(error)) from error


class NetworksForm(forms.Form):
    """From where a key may be used."""

    networks = forms.CharField(
        required=False, max_length=2500, widget=UnfoldAdminTextInputWidget(),
        help_text="Networks that it may be used from, as 192.0.2.0/24, 2001:db8::/48; empty: any.",
    )  # fmt: skip

    def clean_networks(self) -> list[str]:
        return [one for one in self.cleaned_data["networks"].replace(",", " ").split() if one]


class RollForm(forms.Form):
    """For how long the old key works beside the new one."""

    overlap = forms.CharField(
        initial="24h", widget=UnfoldAdminTextInputWidget(),
        help_text="The old key works so much longer, as 24h or 7d; 0s ends it at once.",
    )  # fmt: skip

    def clean_overlap(self) -> timedelta | None:
        return _duration(self.cleaned_data["overlap"])


class KeyForm(NetworksForm, QuotaForm):
    """Whose key it is, what it may do, and for how long."""

    field_order = ("name", "scopes", "expires", "networks")

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
        return _duration(self.cleaned_data["expires"])
