"""What holds for every request: no unfit text, where a slash is added, what pages may do."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.middleware import CSPMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.http.response import HttpResponseBase
from django.middleware.common import CommonMiddleware

from everlearn.errors import refuse
from everlearn.texts import unfit_field, unfit_text
from models_app.learning.schema import Problem
from models_app.refusals import TooOften

# As rest_framework_api_key makes them: a prefix of 8 characters and a secret of 32.
_KEY = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]{8}\.[A-Za-z0-9]{32}(?![A-Za-z0-9])")

FORM = "application/x-www-form-urlencoded"


class FitTextMiddleware:
    """Refuses NUL and broken UTF-8 in the address, its query, cookies and forms.

    Django itself would put replacement characters in their place, and so change what was sent.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if (place := _unfit_place(request)) is None:
            return self.get_response(request)
        return refuse(request, 400, unfit_text(place))


def _unfit_place(request: HttpRequest) -> str | None:
    """Where the first unfit text stands; None when all is well."""
    # Broken UTF-8 in a path stays percent-encoded, and so names nothing that exists.
    if "\0" in request.path_info:
        return "path"
    if any("\0" in value for value in request.COOKIES.values()):
        return "cookie"
    place = unfit_field(request.META.get("QUERY_STRING", "").encode("latin-1", "replace"))
    if place is None and request.content_type == FORM:
        place = unfit_field(request.body)
    return place


class NoKeyInAddressMiddleware:
    """Refuses an API key in the query: addresses stay behind in logs, histories and referers."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        query = request.META.get("QUERY_STRING", "")
        if not query or not _KEY.search(unquote(query)):
            return self.get_response(request)
        detail = "Send the key as `Authorization: Bearer KEY`, and revoke this one: it was shown."
        return refuse(request, 400, Problem("", "key_in_address", detail))


class PatienceMiddleware:
    """Answers 429 where a page was asked too often; routes of the API do so themselves."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, TooOften):
            return None
        problem = Problem("", exception.code, exception.detail)
        return refuse(request, 429, problem, wait=str(exception.wait))


# Whoever balances the load asks by an address or a name of its own; no link is made there.
PROBED = frozenset(("/health", "/ready", "/metrics"))


class SlashMiddleware(CommonMiddleware):
    """Takes an address of the API that lacks its slash for the one with it; redirects readers.

    A redirect would lose the body of a POST on the way, and answer a program with a page.
    """

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        if request.path_info in PROBED:
            return None
        in_api = request.path_info.startswith("/api/")
        if in_api and super().should_redirect_with_slash(request):
            request.path_info, request.path = f"{request.path_info}/", f"{request.path}/"
        return super().process_request(request)

    def should_redirect_with_slash(self, request: HttpRequest) -> bool:
        return request.method in ("GET", "HEAD") and super().should_redirect_with_slash(request)


class PagePolicyMiddleware(CSPMiddleware):
    """A content security policy on pages; JSON needs none, and most answers are JSON."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        if not response.get("Content-Type", "").startswith("text/html"):
            return response
        if request.path_info.startswith("/admin/"):
            # The theme's Alpine evaluates expressions, and its colours are an inline style.
            allow = {"script-src": [UNSAFE_EVAL], "style-src": [SELF, UNSAFE_INLINE]}
            setattr(response, "_csp_update", allow)  # noqa: B010 - as csp's decorators do
        return super().process_response(request, response)
