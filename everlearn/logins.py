"""The admin's login, which an address that guesses has to leave alone for a while."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.signals import user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse

from models_app.strangers import address_of
from models_app.strikes import Kind, refuse_if_out, strike


def login(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
    """Django's own, unless the address has failed too often. Raises TooOften."""
    if request.method == "POST":
        refuse_if_out(Kind.LOGIN, address_of(request.META))
    page: HttpResponse = admin.site.login(request, extra_context)
    return page


@receiver(user_login_failed)
def count_failure(request: HttpRequest | None = None, **_: Any) -> None:
    if request is not None:
        strike(Kind.LOGIN, address_of(request.META))
