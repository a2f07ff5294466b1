"""How often clients may ask the API, and how much a day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from models_app import quotas

if TYPE_CHECKING:
    # rest_framework.views itself loads this module, as a default of the settings.
    from rest_framework.views import APIView


class ClientThrottle(BaseThrottle):
    """Counts each request, and refuses those beyond a limit; see `quotas.admit`."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        quotas.admit(request.user, request.META)
        return True
