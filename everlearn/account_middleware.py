"""What a login may do: with a code where one is demanded, and with a password typed lately."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.functional import SimpleLazyObject
from django.utils.http import urlencode
from django_otp.middleware import OTPMiddleware

from everlearn import audit, sessions, two_factor
from everlearn.doors import ADMIN
from models_app.refusals import ReauthenticationRequired
from models_app.strangers import ignored_forwarding

ADMIN_PATH = "/admin/"
# Actions that need a password which was typed lately.
GUARDED_ACTIONS = ("keys", "accounts")
GUARDED_PAGES = {"two-factor"} | {
    f"{label.replace('.', '_')}_{page}"
    for label, pages in ADMIN.items()
    for page, action in pages.items()
    if action in GUARDED_ACTIONS and page != "view"
}
# Lists, where a POST is an action on the selected rows.
GUARDED_LISTS = {
    f"{label.replace('.', '_')}_changelist"
    for label, pages in ADMIN.items()
    if set(pages.values()) & set(GUARDED_ACTIONS)
}
# What works without a code, where one is demanded: all it takes to set two-factor login up.
BEFORE_TOTP = {"login", "login-code", "logout", "two-factor", "confirm-password", "jsi18n"}


class AccountMiddleware:
    """Says of a login whether a code was given and how old its password is; ends it in time."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.with_login = OTPMiddleware(self._mark)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        ignored_forwarding.note(request.META)
        # Most requests come without a login, and are to cost nothing here.
        if settings.SESSION_COOKIE_NAME not in request.COOKIES:
            return self._answer(request)
        answer: HttpResponse = self.with_login(request)
        return answer

    def _mark(self, request: HttpRequest) -> HttpResponse:
        found = request.user
        request.user = SimpleLazyObject(lambda: _with_standing(request, found))  # type: ignore[assignment]
        return self._answer(request)

    def _answer(self, request: HttpRequest) -> HttpResponse:
        with audit.within(request):
            response = self.get_response(request)
            sessions.note_use(request)
        return response

    def process_view(
        self, request: HttpRequest, view: object, args: object, kwargs: object
    ) -> HttpResponse | None:
        if not request.path_info.startswith(ADMIN_PATH) or not request.user.is_authenticated:
            return None
        name = request.resolver_match.url_name if request.resolver_match else None
        if getattr(request.user, "two_factor_missing", False) and name not in BEFORE_TOTP:
            return _to_two_factor(request)
        listed = name in GUARDED_LISTS and request.method == "POST"
        old = getattr(request.user, "password_is_old", False)
        return ask_for_password(request) if old and (listed or name in GUARDED_PAGES) else None

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, ReauthenticationRequired) and request.path_info.startswith(ADMIN_PATH):
            return ask_for_password(request)
        return None


def ask_for_password(request: HttpRequest) -> HttpResponse:
    """To the page that asks for the password, and from there to the page that was asked for."""
    if request.method == "POST":
        messages.warning(
            request, "Nothing was changed yet. Confirm your password, then send the form again."
        )
    query = urlencode({"next": request.get_full_path()})
    response = redirect("confirm-password")
    response["Location"] += f"?{query}"
    return response


def _to_two_factor(request: HttpRequest) -> HttpResponse:
    if two_factor.device_of(request.user):  # type: ignore[arg-type]  # a user, as was asked
        # Logged in before there was a device: no code was ever given.
        logout(request)
        return redirect("admin:login")
    return redirect("two-factor")


def _with_standing(request: HttpRequest, found: Any) -> Any:
    """The user, marked with what this login may not do yet."""
    if not found.is_authenticated:
        return found
    found.password_is_old = sessions.password_is_old(request.session)
    missing = settings.EVERLEARN_REQUIRE_TOTP and found.is_staff and not found.is_verified()
    if not missing:
        return found
    if request.path_info.startswith(ADMIN_PATH):
        found.two_factor_missing = True
        return found
    stranger = AnonymousUser()
    stranger.two_factor_missing = True  # type: ignore[attr-defined]
    return stranger
