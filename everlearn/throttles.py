"""How often strangers may ask the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from models_app.strangers import address_of, strangers

if TYPE_CHECKING:
    # rest_framework.views itself loads this module, as a default of the settings.
    from rest_framework.views import APIView


class StrangersThrottle(BaseThrottle):
    """Limits what comes without a key or login from one address; see `strangers.Crowd`."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        if not request.user.is_authenticated:
            strangers.admit(address_of(request.META))
        return True
