"""Pages of the admin where members of staff look after their own login."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import logout
from django.http import HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from everlearn import login_limits, sessions, two_factor
from everlearn.logins import WRONG_CODE, CodeForm
from everlearn.models import UserSession
from models_app.decisions import StaffHttpRequest
from models_app.read_only import row_or_404
from models_app.strangers import address_of

CODES_TITLE = "Keep your recovery codes"


@require_http_methods(["GET", "HEAD", "POST"])
def two_factor_page(request: StaffHttpRequest) -> HttpResponse:
    """Turn two-factor login on or off, or make new recovery codes. Raises TooOften."""
    device = two_factor.device_of(request.user)
    form = CodeForm(request.POST or None)
    if request.method == "POST":
        # A code is a guess like a password, also for somebody at a browser left open.
        login_limits.count_attempt(request.user.username, address_of(request.META))
        if form.is_valid() and (done := _changed(request, form, on=device is not None)):
            address = address_of(request.META)
            login_limits.succeeded(request.user, request.user.username, address)
            return done
    if device:
        left = two_factor.recovery_codes_left(request.user)
        return _page(request, "two_factor", "Two-factor login", form=form, left=left)
    form.fields["code"].help_text = "6 digits."
    unconfirmed = two_factor.unconfirmed_device(request.user)
    return _page(
        request, "two_factor_setup", "Set up two-factor login", form=form,
        qr_code=two_factor.qr_code(unconfirmed), secret=two_factor.secret_of(unconfirmed),
    )  # fmt: skip


def _changed(request: StaffHttpRequest, form: CodeForm, *, on: bool) -> HttpResponse | None:
    """The answer to a right code; None after a wrong one, which the form then says."""
    user, code = request.user, form.cleaned_data["code"]
    if not on:
        if codes := two_factor.enrol(request, user, code):
            return _page(request, "recovery_codes", CODES_TITLE, codes=codes)
    elif two_factor.verified(user, code):
        if request.POST.get("do") == "off":
            two_factor.turn_off(user)
            messages.success(request, "Two-factor login is off.")
            return redirect("admin:index")
        codes = two_factor.new_recovery_codes(user)
        return _page(request, "recovery_codes", CODES_TITLE, codes=codes)
    form.add_error("code", WRONG_CODE)
    return None


@require_http_methods(["GET", "HEAD", "POST"])
def sessions_page(request: StaffHttpRequest) -> HttpResponse:
    """One's own sessions, and a button that ends each of them."""
    if request.method == "POST":
        return _ended(request)
    current = request.session.session_key
    rows = [
        {
            "pk": one.pk,
            "current": one.session_key == current,
            "browser": sessions.browser_of(one.user_agent),
            "address": one.address,
            "created_at": one.created_at,
            "last_seen_at": one.last_seen_at,
        }
        for one in sessions.live(request.user)
    ]
    return _page(request, "sessions", "Your sessions", form=forms.Form(), rows=rows)


def _ended(request: StaffHttpRequest) -> HttpResponse:
    current = request.session.session_key
    if "all_others" in request.POST:
        count = sessions.end_all(request.user, but=current)
        messages.success(request, f"{count} other sessions were ended.")
        return redirect("sessions")
    chosen = row_or_404(UserSession, request.POST.get("end", ""), user=request.user)
    if chosen.session_key == current:
        logout(request)
        return redirect("admin:login")
    sessions.end(chosen)
    messages.success(request, "The session was ended.")
    return redirect("sessions")


def _page(request: StaffHttpRequest, name: str, title: str, **more: Any) -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "title": title,
        "back": reverse("admin:index"),
        **more,
    }
    form = more.get("form")
    status = 400 if form is not None and form.errors else 200
    return TemplateResponse(request, f"admin/everlearn/{name}.html", context, status=status)
