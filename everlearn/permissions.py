"""Whether whoever asks may enter a view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from everlearn.access import SCOPES

if TYPE_CHECKING:
    # rest_framework.views itself loads this module, as a default of the settings.
    from rest_framework.views import APIView

OWN = "own"


class ScopePermission(BasePermission):
    """Lets in whoever has every permission of the view's `scope`. No scope, no entry.

    A view may also have `open_to(request) -> bool`, which lets a request in without any
    permission (public models), or the scope "own": any client, shown only what is its own.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        # Asked first, so that a wrong key is told so on public routes too.
        user = request.user
        open_to = getattr(view, "open_to", None)
        if open_to is not None and open_to(request):
            return True
        scope = getattr(view, "scope", None)
        if scope == OWN:
            return user.is_authenticated
        return scope in SCOPES and user.is_active and user.has_perms(SCOPES[scope])
