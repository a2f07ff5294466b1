"""What staff fill in about what comes back."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminFileFieldWidget

from feedback_app import pinned_rows
from feedback_app.golden import Pin
from models_app.admin_forms import ReasonForm
from models_app.models import RegisteredModel
from models_app.refusals import InvalidInput, TooMuch


class PinForm(ReasonForm):
    """A file of rows that are right, and why they shall judge every version."""

    file = forms.FileField(
        label="CSV file",
        widget=UnfoldAdminFileFieldWidget(),
        help_text="Up to 1,000 rows, written as the data is.",
    )
    field_order = ("file", "reason")

    def __init__(self, *args: Any, registered_model: RegisteredModel, **options: Any) -> None:
        super().__init__(*args, **options)
        self.registered_model = registered_model

    def clean_file(self) -> list[Pin]:
        try:
            return pinned_rows.read(self.cleaned_data["file"], self.registered_model)
        except InvalidInput as refusal:
            told = [f"{one.attr}: {one.detail}" for one in refusal.problems]
            raise ValidationError(told) from refusal
        except TooMuch as refusal:
            raise ValidationError(refusal.detail) from refusal
