"""Pages of the admin that roll an API key or limit it to networks, and that show a new one."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.admin import ModelAdmin

from everlearn import key_rolling, keys
from everlearn.key_forms import NetworksForm, RollForm
from everlearn.models import ApiKey
from models_app.decisions import StaffHttpRequest, ask, say

LIST = "admin:everlearn_apikey_changelist"


def show(page: ModelAdmin, request: StaffHttpRequest, name: str, key: str) -> HttpResponse:
    """The new key, in this one answer and nowhere else: a message would lie in a session."""
    context = {
        **page.admin_site.each_context(request),
        "opts": page.opts,
        "title": f"The API key {name}",
        "key": key,
        "back": reverse(LIST),
    }
    return TemplateResponse(request, "admin/everlearn/key.html", context)


def roll(page: ModelAdmin, request: StaffHttpRequest, key: ApiKey) -> HttpResponse:
    """Ask for the overlap; on POST, make a new key in place of `key` and show it once."""
    form = RollForm(request.POST or None)
    if form.is_valid():
        try:
            overlap = form.cleaned_data["overlap"]
            made = key_rolling.roll_key(key.name, actor=request.user, overlap=overlap)
            return show(page, request, key.name, made)
        except keys.KeyRefused as refusal:
            form.add_error("overlap", refusal.detail)
    return ask(
        page, request, form,
        template="admin/everlearn/roll_key.html",
        title=f"Roll {key.name}?",
        back=reverse(LIST),
        key=key,
    )  # fmt: skip


def limit(page: ModelAdmin, request: StaffHttpRequest, key: ApiKey) -> HttpResponse:
    """Show from where the key may be used; on POST, change that."""
    initial = {"networks": ", ".join(key.networks or ())}
    form = NetworksForm(request.POST if request.method == "POST" else None, initial=initial)
    if form.is_valid():
        say(request, lambda: _limited(key, form.cleaned_data["networks"], request))
        return redirect(LIST)
    return ask(
        page, request, form,
        template="admin/everlearn/limit_key.html",
        title=f"From where may {key.name} be used?",
        back=reverse(LIST),
        key=key,
    )  # fmt: skip


def _limited(key: ApiKey, networks: list[str], request: StaffHttpRequest) -> str:
    keys.limit_to_networks(key.name, networks, actor=request.user)
    return f"{key.name} may be used from {', '.join(networks) or 'any network'}, within 5 s."
