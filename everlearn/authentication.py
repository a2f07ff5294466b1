"""Who asks: the holder of an API key, or a member of staff in a browser."""

from __future__ import annotations

import hashlib
import time
from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser
from rest_framework.authentication import (
    BaseAuthentication,
    SessionAuthentication,
    get_authorization_header,
)
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from everlearn import keys
from everlearn.models import KeyHolder

# A revoked key must be refused within 5 s; until then it costs no query.
REMEMBERED_SECONDS = 4.0


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer KEY`. Verified keys are remembered for seconds, wrong ones never."""

    remembered: ClassVar[dict[bytes, tuple[float, KeyHolder]]] = {}

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"

    def authenticate(self, request: Request) -> tuple[KeyHolder, None] | None:
        header = get_authorization_header(request)
        if not header:
            return None
        scheme, _, key = header.partition(b" ")
        if scheme.lower() != b"bearer" or not key.strip():
            raise AuthenticationFailed("The Authorization header must be `Bearer KEY`.")
        return self._holder(key.strip()), None

    def _holder(self, key: bytes) -> KeyHolder:
        # By its hash, so that no list of live keys lies in memory.
        digest = hashlib.sha256(key).digest()
        until, holder = self.remembered.get(digest, (0.0, None))
        if holder is not None and time.monotonic() < until:
            return holder
        self.remembered.pop(digest, None)
        try:
            holder = keys.verify(key)
        except keys.KeyRefused as refusal:
            raise AuthenticationFailed(str(refusal)) from None
        self.remembered[digest] = (time.monotonic() + REMEMBERED_SECONDS, holder)
        return holder


class StaffSessionAuthentication(SessionAuthentication):
    """A staff browser's login, with CSRF; any other login counts as none."""

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, None] | None:
        user = getattr(request._request, "user", None)  # noqa: SLF001 - as DRF's own class
        return super().authenticate(request) if getattr(user, "is_staff", False) else None
