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
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from everlearn import keys
from everlearn.models import KeyHolder
from models_app.strangers import address_of
from models_app.strikes import Kind, count_failure

# A revoked key must be refused within 5 s; until then it costs no query.
REMEMBERED_SECONDS = 4.0


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer KEY`. Verified keys are remembered for seconds, wrong ones never.

    An address that sends too many wrong ones is told to wait; a right one still opens from there.
    """

    remembered: ClassVar[dict[bytes, tuple[float, KeyHolder]]] = {}

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"

    def authenticate(self, request: Request) -> tuple[KeyHolder, None] | None:
        header = get_authorization_header(request)
        if not header:
            return None
        try:
            holder = self._holder(_key_in(header))
            # On each request: a key that is remembered may come from elsewhere.
            if holder.networks and not keys.is_allowed(address_of(request.META), holder.networks):
                raise keys.KeyRefused("The API key may not be used from this network.")
        except keys.KeyRefused as refusal:
            count_failure(Kind.KEY, address_of(request.META))
            raise AuthenticationFailed(str(refusal)) from None
        return holder, None

    def _holder(self, key: bytes) -> KeyHolder:
        # By its hash, so that no list of live keys lies in memory.
        digest = hashlib.sha256(key).digest()
        until, holder = self.remembered.get(digest, (0.0, None))
        if holder is not None and time.monotonic() < until:
            return holder
        self.remembered.pop(digest, None)
        holder = keys.verify(key)
        self.remembered[digest] = (time.monotonic() + REMEMBERED_SECONDS, holder)
        return holder


def _key_in(header: bytes) -> bytes:
    scheme, _, key = header.partition(b" ")
    if scheme.lower() != b"bearer" or not key.strip():
        raise keys.KeyRefused("The Authorization header must be `Bearer KEY`.")
    return key.strip()


class StaffSessionAuthentication(SessionAuthentication):
    """A staff browser's login, with CSRF; any other login counts as none."""

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, None] | None:
        user = getattr(request._request, "user", None)  # noqa: SLF001 - as DRF's own class
        if getattr(user, "two_factor_missing", False):
            detail = "Two-factor login is required: set it up at /admin/two-factor/, or log in."
            raise PermissionDenied(detail, code="two_factor_required")
        return super().authenticate(request) if getattr(user, "is_staff", False) else None
