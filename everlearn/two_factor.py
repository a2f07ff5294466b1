"""Two-factor login: codes of an authenticator app (TOTP), and recovery codes for its loss.

The codes are django-otp's: throttled after each wrong one, and never taken twice.
"""

from __future__ import annotations

import base64

import segno
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest
from django_otp import login, verify_token
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from everlearn import audit, sessions
from models_app.actors import refuse_old_password

RECOVERY_CODES = 10
NAME = "authenticator app"


def device_of(user: User) -> TOTPDevice | None:
    """The authenticator app that `user` logs in with; None without two-factor login."""
    found: TOTPDevice | None = TOTPDevice.objects.filter(user=user, confirmed=True).first()
    return found


def verified(user: User, code: str) -> TOTPDevice | StaticDevice | None:
    """The device of `user` that `code` is of; None when it is wrong, used, or tried too soon."""
    code = "".join(code.split()).lower()
    kind = TOTPDevice if code.isdecimal() else StaticDevice
    for device in kind.objects.filter(user=user, confirmed=True):
        if found := verify_token(user, device.persistent_id, code):
            if kind is StaticDevice:
                audit.record("recovery_code_used", account=user, actor=user)
            return found
    return None


def unconfirmed_device(user: User) -> TOTPDevice:
    """The device that `user` is about to set up, made when there is none yet."""
    device = TOTPDevice.objects.filter(user=user, confirmed=False).order_by("pk").first()
    return device or TOTPDevice.objects.create(user=user, confirmed=False, name=NAME)


def secret_of(device: TOTPDevice) -> str:
    """The secret as people type it: base 32, in groups of four."""
    text = base64.b32encode(device.bin_key).decode().rstrip("=")
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def qr_code(device: TOTPDevice) -> str:
    """A picture of the secret for the app, as a data: URL of an SVG."""
    drawn = segno.make(device.config_url, error="m")
    url: str = drawn.svg_data_uri(scale=5, light="#fff", dark="#000")
    return url


def enrol(request: HttpRequest, user: User, code: str) -> list[str]:
    """Turn two-factor login on once `code` shows that the app works.

    Returns the recovery codes, which are shown once; none when the code is wrong. This session
    counts as verified, and the user's others end.
    """
    device = unconfirmed_device(user)
    if device_of(user) or not verify_token(user, device.persistent_id, code):
        return []
    with transaction.atomic():
        TOTPDevice.objects.filter(user=user).exclude(pk=device.pk).delete()
        TOTPDevice.objects.filter(pk=device.pk).update(confirmed=True)
        codes = _new_recovery_codes(user)
    device.refresh_from_db()
    login(request, device)
    audit.record("totp_added", account=user)
    sessions.end_all(user, but=sessions.current_key(), detail="two-factor login turned on")
    return codes


def new_recovery_codes(user: User) -> list[str]:
    """Replace the recovery codes of `user`; returns them, to be shown once."""
    codes = _new_recovery_codes(user)
    audit.record("recovery_codes_made", account=user)
    return codes


def recovery_codes_left(user: User) -> int:
    left: int = StaticToken.objects.filter(device__user=user).count()
    return left


@transaction.atomic
def _new_recovery_codes(user: User) -> list[str]:
    StaticDevice.objects.filter(user=user).delete()
    device = StaticDevice.objects.create(user=user, name="recovery codes")
    # Two of django-otp's: 80 random bits.
    codes = [StaticToken.random_token() + StaticToken.random_token() for _ in range(RECOVERY_CODES)]
    StaticToken.objects.bulk_create(StaticToken(device=device, token=code) for code in codes)
    return codes


def turn_off(user: User) -> None:
    """Remove the devices and recovery codes of `user`; the user's other sessions end."""
    with transaction.atomic():
        TOTPDevice.objects.filter(user=user).delete()
        StaticDevice.objects.filter(user=user).delete()
    audit.record("totp_removed", account=user)
    sessions.end_all(user, but=sessions.current_key(), detail="two-factor login turned off")


def reset(user: User, *, actor: User) -> None:
    """Remove another user's two-factor login, as after the loss of a phone.

    Raises PermissionDenied or ReauthenticationRequired.
    """
    if not actor.has_perm("auth.change_user"):
        raise PermissionDenied("Resetting the two-factor login of others needs change_user.")
    refuse_old_password(actor)
    with transaction.atomic():
        TOTPDevice.objects.filter(user=user).delete()
        StaticDevice.objects.filter(user=user).delete()
    audit.record("totp_reset", account=user, actor=actor)
    sessions.end_all(user, but=sessions.current_key() if user == actor else None, detail="reset")
