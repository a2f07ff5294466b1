"""How the checks of what a bundle holds refuse it."""

from __future__ import annotations

from typing import NoReturn

from models_app.refusals import BundleRefused

UNTRUSTED = "artifact_untrusted"


def refuse(detail: str) -> NoReturn:
    """Raise BundleRefused with the code `artifact_untrusted`. detail: what was found, where."""
    raise BundleRefused(detail, code=UNTRUSTED)


def expect(condition: object, detail: str) -> None:
    """Refuse with `detail` unless the condition holds."""
    if not condition:
        refuse(detail)
