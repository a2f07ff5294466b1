"""The daily quotas of one API key, where they differ from the installation's.

They belong to the key's account, so that a key that takes another's place keeps them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from django import forms
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.management.base import CommandParser
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from everlearn.keys import KeyRefused
from everlearn.models import ApiKey
from models_app.usage import QuotaOverride, tracker

logger = logging.getLogger(__name__)

# Each quota, and what it limits.
QUOTAS = {
    "requests": "Requests a day",
    "rows": "Predicted rows a day",
    "feedback": "Items of feedback a day, links included",
    "mebibytes": "MiB of predictions, feedback and batch files stored a day",
}
LARGEST = 10**12
NONE = "0: no limit; empty: the installation's quota."


class QuotaForm(forms.Form):
    """The four quotas of a key."""

    requests = forms.IntegerField(
        label=QUOTAS["requests"], required=False, min_value=0, max_value=LARGEST,
        widget=UnfoldAdminIntegerFieldWidget(), help_text=NONE,
    )  # fmt: skip
    rows = forms.IntegerField(
        label=QUOTAS["rows"], required=False, min_value=0, max_value=LARGEST,
        widget=UnfoldAdminIntegerFieldWidget(), help_text=NONE,
    )  # fmt: skip
    feedback = forms.IntegerField(
        label=QUOTAS["feedback"], required=False, min_value=0, max_value=LARGEST,
        widget=UnfoldAdminIntegerFieldWidget(), help_text=NONE,
    )  # fmt: skip
    mebibytes = forms.IntegerField(
        label=QUOTAS["mebibytes"], required=False, min_value=0, max_value=LARGEST,
        widget=UnfoldAdminIntegerFieldWidget(), help_text=NONE,
    )  # fmt: skip

    @property
    def quotas(self) -> dict[str, int | None]:
        """What was filled in."""
        return {name: self.cleaned_data[name] for name in QUOTAS}


def set_quotas(name: str, quotas: Mapping[str, int | None], *, actor: User) -> None:
    """Give the live key of that name quotas of its own; every process keeps to them in seconds.

    quotas: by the names in QUOTAS; 0 sets no limit, None (or none given) leaves it to the
    installation's. Raises PermissionDenied or KeyRefused.
    """
    if not actor.has_perm("everlearn.change_apikey"):
        raise PermissionDenied("Setting the quotas of an API key needs change_apikey.")
    key = ApiKey.objects.filter(name=name, revoked=False).first()
    if key is None:
        raise KeyRefused(f"no key named {name} is in use")
    if wrong := [one for one in quotas.values() if one is not None and not 0 <= one <= LARGEST]:
        raise KeyRefused(f"a quota is a whole number from 0 to {LARGEST}, not {wrong[0]}")
    given = {one: quotas.get(one) for one in QUOTAS}
    if any(amount is not None for amount in given.values()):
        QuotaOverride.objects.update_or_create(account=key.user, defaults=given)
    else:
        QuotaOverride.objects.filter(account=key.user).delete()
    tracker.sync()
    told = ", ".join(f"{one} {amount}" for one, amount in given.items() if amount is not None)
    logger.info("Quotas of API key %s were set by %s: %s", name, actor, told or "the usual ones")


def add_options(parser: CommandParser) -> None:
    """The options that set quotas, for commands on keys."""
    for name, told in QUOTAS.items():
        option = "stored" if name == "mebibytes" else name
        parser.add_argument(
            f"--{option}-per-day", dest=name, type=int, metavar="N", help=f"{told}; {NONE}"
        )
