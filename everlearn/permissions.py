"""Whether whoever asks may enter a view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from everlearn.access import permissions_of
from everlearn.doors import ANYBODY, OWN, door

if TYPE_CHECKING:
    # rest_framework.views itself loads this module, as a default of the settings.
    from rest_framework.views import APIView


class DoorPermission(BasePermission):
    """Lets in whoever may do what the route's row in `doors` says. No row, no entry.

    A view behind a door that is public has `open_to(request) -> bool`: whether the model that
    is asked for is a public one.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        # Asked first, so that a wrong key is told so on public routes too.
        user = request.user
        match = request._request.resolver_match  # noqa: SLF001 - DRF's own way to it is slow
        entered = door(match.view_name, request.method or "") if match else None
        if entered is None:
            return False
        if entered.action == ANYBODY or (entered.public and view.open_to(request)):  # type: ignore[attr-defined]
            return True
        if entered.action == OWN:
            return user.is_authenticated
        return user.is_active and user.has_perms(permissions_of(entered.action))
