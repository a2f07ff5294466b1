"""What holds for every request: a limit on its body, and a policy for pages."""

from __future__ import annotations

from collections.abc import Callable

from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.middleware import CSPMiddleware
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.common import CommonMiddleware

from everlearn.errors import error_response

Next = Callable[[HttpRequest], HttpResponse]

MIB = 2**20
FEEDBACK_ROUTES = ("/api/feedback/", "/feedback")


class BodyLimitMiddleware:
    """Refuses a body over the limit before anybody reads it."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        limit = 10 * MIB if request.path_info in FEEDBACK_ROUTES else MIB
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdecimal() and int(length) > limit and not _is_page(request):
            detail = f"The body has {length} bytes; this route takes {limit}."
            return error_response(413, code="body_too_large", detail=detail)
        return self.get_response(request)


def _is_page(request: HttpRequest) -> bool:
    # Staff upload data there; Django's own limits hold.
    return request.path_info.startswith("/admin/")


class SlashMiddleware(CommonMiddleware):
    """Redirects to the address with a slash, but no POST: its body would be lost on the way."""

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
