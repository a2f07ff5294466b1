"""Sign what a superuser answers for, and sign all anew when the key changes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.files.storage import default_storage
from django.db import transaction

from models_app import bundles, signing, signing_keys
from models_app.learning.schema import Problem
from models_app.models import ModelVersion
from models_app.refusals import InvalidInput, NotServable, Unavailable

logger = logging.getLogger(__name__)

PERMISSION = "models_app.sign_bundle"
MOST_PASSES = 10


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did. signed: bundles that have a new signature. current: had it already.

    unsigned: digests of bundles that are refused before and after it.
    """

    signed: int
    current: int
    unsigned: tuple[str, ...]


def sign_version(version: ModelVersion, *, actor: User, reason: str) -> ModelVersion:
    """Sign the bundle of a version from elsewhere, so that it may be judged and served.

    It is fetched from MLflow unless it is stored here, and verified like any other but for its
    signature. Raises PermissionDenied, InvalidInput, RegistryAway, and NotServable when it is no
    sound bundle; then nothing has changed.
    """
    _refuse_unless_allowed(actor)
    if not reason.strip():
        raise InvalidInput([Problem("reason", "required", "Say why: the log of changes keeps it.")])
    row = _stored(version) if version.bundle_digest else _fetched(version)
    with transaction.atomic():
        for name, value in row.items():
            setattr(version, name, value)
        version.save(update_fields=list(row))
        line = f"Signed bundle {version.bundle_digest}: {reason.strip()}"
        LogEntry.objects.log_actions(actor.pk, [version], CHANGE, line, single_object=True)
    logger.info("%s was signed by %s: %s", version, actor, reason.strip())
    return version


def _stored(version: ModelVersion) -> dict[str, Any]:
    from models_app import importing  # noqa: PLC0415 - it imports `promotion`, as this may be

    digest = version.bundle_digest
    before = bundles.stored_signature(digest)
    if not bundles.sign_stored(digest):
        raise NotServable(f"{version}: its bundle is not in storage", code="bundle_unavailable")
    told = importing.verify(importing.stored_request(version))
    if "row" not in told:
        bundles.put_signature(digest, before)
        raise NotServable(f"{version} was not signed: {told['unservable_because']}")
    return {"unservable_because": "", "verify_again_at": None}


def _fetched(version: ModelVersion) -> dict[str, Any]:
    # MLflow takes seconds to import, which no rotation waits for.
    from models_app import importing, registry  # noqa: PLC0415

    remote = registry.describe(version.registered_model.name)
    found = [one for one in remote.versions if one.number == version.number] if remote else []
    if not found or found[0].mlflow_run_id != version.mlflow_run_id:
        raise NotServable(f"{version} is missing in MLflow", code="missing_in_registry")
    row = importing.describe(version.registered_model, found[0], vouched=True)
    if row["unservable_because"]:
        raise NotServable(f"{version} was not signed: {row['unservable_because']}")
    return row


def begin_rotation(*, actor: User) -> str:
    """Have a new key sign, with the older ones accepted until `finish_rotation`.

    Returns a new key for EVERLEARN_BUNDLE_KEY where that setting has the present one and no
    fallback is set, since only its owner can change it; else "". A rotation that was interrupted
    is taken up again with its key. Raises PermissionDenied.
    """
    _refuse_unless_allowed(actor)
    if settings.EVERLEARN_BUNDLE_KEY:
        return "" if settings.EVERLEARN_BUNDLE_KEY_FALLBACKS else signing_keys.new_key()
    signing.keys()  # makes the file when there is none
    kept = signing_keys.read(signing.key_file())
    if len(kept) == 1 and not settings.EVERLEARN_BUNDLE_KEY_FALLBACKS:
        signing_keys.replace(signing.key_file(), (signing_keys.new_key(), *kept))
    return ""


def sign_anew(*, actor: User) -> Rotated:
    """Give every stored bundle whose signature is valid one of the present key.

    At each moment every bundle has a valid signature, so that it may be killed and called again.
    Raises PermissionDenied and Unavailable.
    """
    _refuse_unless_allowed(actor)
    signed = 0
    for _ in range(MOST_PASSES):
        done = [_signed_anew(digest) for digest in _stored_digests()]
        now = sum(change == "signed" for _, change in done)
        signed += now
        # A training that began before may have signed with an older key: until nothing is left.
        if not now:
            break
    else:
        raise Unavailable("Storage keeps older signatures; nothing was taken away. Run it again.")
    unsigned = tuple(digest for digest, change in done if change == "unsigned")
    return Rotated(signed=signed, current=len(done) - len(unsigned) - signed, unsigned=unsigned)


def finish_rotation(*, actor: User) -> None:
    """Accept no older key of the file any more. Raises PermissionDenied."""
    _refuse_unless_allowed(actor)
    if not settings.EVERLEARN_BUNDLE_KEY:
        signing_keys.replace(signing.key_file(), signing_keys.read(signing.key_file())[:1])
    LogEntry.objects.log_actions(
        actor.pk, [actor], CHANGE, "Rotated the key that signs bundles", single_object=True
    )


def _signed_anew(digest: str) -> tuple[str, str]:
    signature = bundles.stored_signature(digest)
    if signing.is_current(digest, signature):
        return digest, "current"
    if not signing.is_valid(digest, signature):
        return digest, "unsigned"
    bundles.sign_stored(digest)
    return digest, "signed"


def _stored_digests() -> Iterator[str]:
    try:
        digests, _ = default_storage.listdir(bundles.ROOM)
    except FileNotFoundError:
        return
    yield from sorted(digests)


def _refuse_unless_allowed(actor: User) -> None:
    if not actor.has_perm(PERMISSION):
        raise PermissionDenied("Signing bundles needs sign_bundle.")
