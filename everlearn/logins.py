"""The admin's login, its second step, and the page that asks for the password again.

Each attempt is counted before a password or a code is looked at; see `login_limits`.
"""

from __future__ import annotations

import time
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth import authenticate
from django.contrib.auth import login as log_in
from django.contrib.auth import views as auth_views
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, resolve_url
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.views.decorators.cache import never_cache
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from everlearn import audit, login_limits, sessions, two_factor
from models_app.decisions import StaffHttpRequest
from models_app.strangers import address_of

# Between the password and the code.
PENDING, PENDING_SECONDS = "login_pending", 300.0
WRONG_CODE = "The code is wrong, was used already, or came too soon after a wrong one."


class CodeForm(forms.Form):
    """A code of the authenticator app, or a recovery code."""

    code = forms.CharField(
        max_length=32,
        widget=UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "one-time-code", "autofocus": True}
        ),
        help_text="6 digits of your authenticator app, or one of your recovery codes.",
    )


class PasswordForm(forms.Form):
    """The password of the one who is logged in, and a code where two-factor login is on."""

    password = forms.CharField(
        max_length=4096,
        strip=False,
        widget=UnfoldAdminPasswordWidget(
            attrs={"autocomplete": "current-password", "autofocus": True}
        ),
    )
    code = CodeForm.base_fields["code"]

    def __init__(self, *args: Any, two_factor_on: bool, **options: Any) -> None:
        super().__init__(*args, **options)
        if not two_factor_on:
            del self.fields["code"]


class LoginView(auth_views.LoginView):
    """Django's own, with a second step for those who have a device."""

    template_name = "admin/login.html"

    def get_form_class(self) -> Any:
        return admin.site.login_form

    def get_default_redirect_url(self) -> str:
        return reverse("admin:index")

    def get_context_data(self, **more: Any) -> dict[str, Any]:
        path = self.request.get_full_path()
        site = admin.site.each_context(self.request)
        return super().get_context_data(**site, title="Log in", app_path=path, **more)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        user = form.get_user()
        if not two_factor.device_of(user):
            answer = super().form_valid(form)
            login_limits.succeeded(user, _typed(self.request), address_of(self.request.META))
            return answer
        self.request.session[PENDING] = {
            "user": user.pk,
            "account": _typed(self.request),
            "hash": user.get_session_auth_hash(),
            "until": time.time() + PENDING_SECONDS,
        }
        return redirect(f"{reverse('login-code')}?{urlencode({'next': self.get_success_url()})}")

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        if form.get_user() is not None:
            audit.record("login_failed", account=_typed(self.request), detail="not of staff")
        return super().form_invalid(form)


@never_cache
def login(request: HttpRequest) -> HttpResponseBase:
    """The first step: a name and a password. Raises TooOften."""
    if request.method == "POST":
        login_limits.count_attempt(_typed(request), address_of(request.META))
    elif admin.site.has_permission(request):
        return redirect("admin:index")
    return LoginView.as_view()(request)


def _typed(request: HttpRequest) -> str:
    return request.POST.get("username", "")


@never_cache
def login_code(request: HttpRequest) -> HttpResponse:
    """The second step: a code. Raises TooOften."""
    pending: Any = request.session.get(PENDING)
    user = _pending_user(pending)
    if user is None:
        request.session.pop(PENDING, None)
        return redirect("admin:login")
    form = CodeForm(request.POST or None)
    if request.method == "POST":
        login_limits.count_attempt(pending["account"], address_of(request.META))
        if form.is_valid() and _logged_in(request, user, form):
            login_limits.succeeded(user, pending["account"], address_of(request.META))
            return redirect(_next(request))
    context = {
        **admin.site.each_context(request),
        "title": "Log in",
        "form": form,
        "app_path": request.get_full_path(),
    }
    return TemplateResponse(request, "admin/everlearn/login_code.html", context)


def _pending_user(pending: Any) -> User | None:
    """Who gave the right password a moment ago, unless it was changed meanwhile."""
    if not isinstance(pending, dict) or pending["until"] < time.time():
        return None
    user = User.objects.filter(pk=pending["user"], is_active=True, is_staff=True).first()
    same = user and constant_time_compare(user.get_session_auth_hash(), pending["hash"])
    return user if same else None


def _logged_in(request: HttpRequest, user: User, form: CodeForm) -> bool:
    device = two_factor.verified(user, form.cleaned_data["code"])
    if device is None:
        form.add_error("code", WRONG_CODE)
        audit.record("login_failed", account=user, detail="wrong two-factor code")
        return False
    del request.session[PENDING]
    user.otp_device = device  # type: ignore[attr-defined]  # django-otp notes it in the session
    log_in(request, user)
    return True


@never_cache
def confirm_password(request: StaffHttpRequest) -> HttpResponse:
    """Ask for the password again, then go back to where it was needed. Raises TooOften."""
    user = request.user
    on = two_factor.device_of(user) is not None
    form = PasswordForm(request.POST or None, two_factor_on=on)
    if request.method == "POST":
        login_limits.count_attempt(user.username, address_of(request.META))
        if form.is_valid() and _is_theirs(request, form):
            login_limits.succeeded(user, user.username, address_of(request.META))
            sessions.confirm(request.session)
            audit.record("password_confirmed", account=user)
            return redirect(_next(request))
    context = {
        **admin.site.each_context(request),
        "title": "Confirm your password",
        "form": form,
        "back": reverse("admin:index"),
    }
    return TemplateResponse(request, "admin/everlearn/confirm_password.html", context)


def _is_theirs(request: StaffHttpRequest, form: PasswordForm) -> bool:
    user, given = request.user, form.cleaned_data
    found = authenticate(request, username=user.get_username(), password=given["password"])
    if found is None or found.pk != user.pk:
        form.add_error("password", "The password is wrong.")
        return False
    if "code" in given and not two_factor.verified(user, given["code"]):
        form.add_error("code", WRONG_CODE)
        audit.record("login_failed", account=user, detail="wrong two-factor code")
        return False
    return True


def change_password(request: StaffHttpRequest) -> HttpResponse:
    """Django's page, where the old password is a guess like any other. Raises TooOften."""
    if request.method != "POST":
        return admin.site.password_change(request)
    # Kept: at the change, a new session with the same user is made.
    user, address = request.user, address_of(request.META)
    login_limits.count_attempt(user.username, address)
    answer = admin.site.password_change(request)
    if answer.status_code == 302:
        login_limits.succeeded(user, user.username, address)
    return answer


def _next(request: HttpRequest) -> str:
    """Where the page was asked for, as long as that is a page of ours."""
    url = request.GET.get("next", "")
    hosts = {request.get_host()}
    safe = url_has_allowed_host_and_scheme(url, hosts, require_https=request.is_secure())
    return url if safe else resolve_url("admin:index")


@receiver(user_login_failed)
def record_failure(credentials: dict[str, Any], **_: Any) -> None:
    audit.record("login_failed", account=credentials.get("username", ""))
