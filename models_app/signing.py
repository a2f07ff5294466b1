"""Signatures of bundles: they tell what a trainer of ours made from what others put into MLflow.

A signature is an HMAC-SHA256 over the digest of a bundle, which names every byte of it and, by its
manifest, the registered model. It is one short line in a file of its own beside the manifest.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from pathlib import Path

from django.conf import settings

from models_app import signing_keys

CODE = "signature_invalid"
# No reader of a signature takes more bytes than this.
LONGEST = 256
# So that no signature of anything else, made with the same key, is one of a bundle.
_DOMAIN = b"everlearn.bundle-signature\0v1\0"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FORM = re.compile(rb"v1 ([0-9a-f]{64})\n")


def sign(digest: str) -> bytes:
    """The signature of the bundle `digest`, made with the present key."""
    return b"v1 " + _code(keys()[0], digest).encode() + b"\n"


def is_valid(digest: str, signature: bytes) -> bool:
    """Whether `signature` is one of the bundle `digest`, made with one of our keys."""
    found = _FORM.fullmatch(signature)
    if found is None or _DIGEST.fullmatch(digest) is None:
        return False
    # All keys are tried, so that the time says nothing of which one fitted.
    fitting = [hmac.compare_digest(_code(key, digest).encode(), found[1]) for key in keys()]
    return any(fitting)


def is_current(digest: str, signature: bytes) -> bool:
    """Whether `signature` is the one that the present key makes."""
    return hmac.compare_digest(sign(digest), signature)


def keys() -> tuple[str, ...]:
    """The present key and those that are accepted while it replaces them.

    From EVERLEARN_BUNDLE_KEY, or else from a file below EVERLEARN_HOME, made when there is none.
    The file is read each time: a rotation has to reach processes that run.
    """
    if settings.EVERLEARN_BUNDLE_KEY:
        return (settings.EVERLEARN_BUNDLE_KEY, *settings.EVERLEARN_BUNDLE_KEY_FALLBACKS)
    path = key_file()
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        signing_keys.write_once(path, signing_keys.new_key() + "\n")
    return (*signing_keys.read(path), *settings.EVERLEARN_BUNDLE_KEY_FALLBACKS)


def key_file() -> Path:
    """Where the keys are while EVERLEARN_BUNDLE_KEY is not set."""
    return Path(settings.EVERLEARN_HOME) / signing_keys.FILE


def _code(key: str, digest: str) -> str:
    return hmac.new(key.encode(), _DOMAIN + digest.encode(), hashlib.sha256).hexdigest()
