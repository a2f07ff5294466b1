"""What an operator asks first: is each part there, does it work, and if not, what to do.

A check is a function that returns findings; adding one is writing it and naming it in CHECKS.
A check that dies of something is itself a finding, so that the others are still heard.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from uuid import uuid4

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Q
from django.utils import timezone

from everlearn import checks, configuration, mlflow_server, safety
from everlearn.models import ApiKey
from feedback_app import dispatching, retention
from feedback_app.models import Erasure, SourceLook
from feedback_app.secrecy import without_secrets
from models_app import bundles, registry, signing
from models_app.models import ModelVersion, RegisteredModel, RegistrySync, WebProcess
from models_app.refusals import BundleRefused

MIB = 2**20
# A retraining writes some files of this size; below it SQLite soon cannot commit either.
DISK_BROKEN, DISK_LOW = 200 * MIB, 2048 * MIB
# The worker restarts a cluster that carried out no pulse for 40 s, which takes some more.
PULSE_LATE = timedelta(seconds=60)
RECONCILE_LATE = timedelta(seconds=60)
KEY_ENDS_SOON = timedelta(days=14)
FORWARDED_LATELY = timedelta(days=1)
SECRET_OLD_DAYS = 365
MLFLOW_PATIENCE = 15.0
MLFLOW_REMEDY = "start it, or correct MLFLOW_TRACKING_URI; predictions and rollbacks go on"


class State(StrEnum):
    """How a part is; only `broken` makes the doctor exit 1."""

    OK = "ok"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's. remedy: what to do, unless all is well."""

    part: str
    state: State
    said: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{self.state:8}{self.part:10}{self.said}"
        return f"{line} → {self.remedy}" if self.remedy else line


def examine() -> Iterator[Finding]:
    """Every finding of every check, as it comes."""
    for part, check in CHECKS.items():
        try:
            yield from check()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is broken
            first = (without_secrets(str(error)).strip() or type(error).__name__).splitlines()[0]
            yield Finding(part, State.BROKEN, first[:300], "see the lines above, then the log")


def _database() -> Iterator[Finding]:
    part, began = "database", time.perf_counter()
    try:
        with connection.cursor() as cursor:
            version = _ask_database(cursor.execute)
    except Exception as error:  # noqa: BLE001 - each driver has errors of its own
        first = without_secrets(str(error)).splitlines()[0]
        yield Finding(part, State.BROKEN, first, "start it, or correct DATABASE_URL")
        return
    took = (time.perf_counter() - began) * 1000
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        yield Finding(part, State.BROKEN, f"{version}: not migrated", "manage.py migrate")
        return
    yield Finding(part, State.OK, f"{version}, answered in {took:.0f} ms")


def _ask_database(execute: Callable[[str], object]) -> str:
    if connection.vendor != "sqlite":
        execute("SELECT 1")
        return f"{connection.display_name} {'.'.join(map(str, connection.get_database_version()))}"
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA quick_check(1)")
        if (said := cursor.fetchone()[0]) != "ok":
            raise ValueError(f"the file is damaged ({said}): restore a backup")
    return f"SQLite {settings.DATABASES['default']['NAME']}"


def _worker() -> Iterator[Finding]:
    part, remedy = "worker", "make up, or start `manage.py worker`; its log says why it stopped"
    sync = RegistrySync.objects.filter(pk=1).first()
    if sync is None or sync.pulse_at is None:
        yield Finding(part, State.BROKEN, "its queue never had a pulse", remedy)
        return
    age = max(timezone.now() - sync.pulse_at, timedelta(0))
    late = age > PULSE_LATE
    said = f"its queue's last pulse was {age.total_seconds():.0f} s ago"
    yield Finding(part, State.BROKEN if late else State.OK, said, remedy if late else "")
    if not late and not _lately(sync):
        yield Finding(part, State.WARNING, "it does not reconcile with MLflow", remedy)


def _lately(sync: RegistrySync) -> bool:
    at = sync.finished_at or sync.started_at
    return at is not None and timezone.now() - at < RECONCILE_LATE


def _mlflow() -> Iterator[Finding]:
    said: list[Finding] = []
    # Its client tries a database that is away again and again, for minutes.
    asking = threading.Thread(target=lambda: said.append(_ask_mlflow()), daemon=True)
    asking.start()
    asking.join(MLFLOW_PATIENCE)
    address = registry.tracking_uri()
    late = f"MLflow at {address}: no answer within {MLFLOW_PATIENCE:.0f} s"
    yield said[0] if said else Finding("mlflow", State.BROKEN, late, MLFLOW_REMEDY)
    for unsafe in mlflow_server.unsafe_server(settings.MLFLOW_TRACKING_URI):
        yield Finding("mlflow", _how_bad(), f"{unsafe.name} {unsafe.why}", unsafe.remedy)


def _ask_mlflow() -> Finding:
    try:
        count = registry.count_models()
    except Exception as error:  # noqa: BLE001 - in a thread, and its client raises many
        first = (without_secrets(str(error)).strip() or repr(error)).splitlines()[0]
        return Finding("mlflow", State.BROKEN, first, MLFLOW_REMEDY)
    return Finding("mlflow", State.OK, f"{registry.tracking_uri()} ({count} registered models)")


def _storage() -> Iterator[Finding]:
    part, name = "storage", f"doctor/{uuid4().hex}"
    stored = default_storage.save(name, ContentFile(name.encode()))
    with default_storage.open(stored) as file:
        same = file.read() == name.encode()
    default_storage.delete(stored)
    if not same:
        yield Finding(part, State.BROKEN, "it gives back other bytes than were stored", "replace")
        return
    versions = ModelVersion.objects.filter(
        pk__in=RegisteredModel.objects.filter(retired_at=None).values("champion")
    ).select_related("registered_model")
    damaged = [finding for version in versions if (finding := _damage(version))]
    yield from damaged
    if not damaged:
        yield Finding(part, State.OK, f"writes and reads; {len(versions)} champions' bundles whole")


def _damage(version: ModelVersion) -> Finding | None:
    try:
        bundles.stored_files(version.bundle_digest)
    except BundleRefused as refusal:
        unsigned = refusal.code == signing.CODE
        sign = "manage.py sign_bundle MODEL VERSION --reason …, or roll back"
        remedy = sign if unsigned else "restore the file from a backup, or roll back"
        return Finding("storage", State.BROKEN, f"{version}: {refusal.code}: {refusal}", remedy)
    return None


def _disk() -> Iterator[Finding]:
    usage = shutil.disk_usage(settings.EVERLEARN_HOME)
    said = f"{usage.free // MIB} MiB of {usage.total // MIB} free in {settings.EVERLEARN_HOME}"
    remedy = "free some, or move EVERLEARN_HOME to a larger disk"
    if usage.free < DISK_BROKEN:
        yield Finding("disk", State.BROKEN, said, remedy)
    elif usage.free < DISK_LOW:
        yield Finding("disk", State.WARNING, said, remedy)
    else:
        yield Finding("disk", State.OK, said)


def _keys() -> Iterator[Finding]:
    yield _secret_key()
    yield _bundle_key()
    now = timezone.now()
    held = ApiKey.objects.filter(revoked=False)
    ended = held.filter(expiry_date__lt=now).count()
    soon = held.filter(expiry_date__gte=now, expiry_date__lt=now + KEY_ENDS_SOON).count()
    live = held.filter(Q(expiry_date=None) | Q(expiry_date__gte=now)).count()
    said = f"{live} API keys live, {ended} expired"
    if soon:
        remedy = "make new ones with manage.py create_api_key"
        yield Finding("keys", State.WARNING, f"{said}, {soon} expire within 14 days", remedy)
    else:
        yield Finding("keys", State.OK, said)


def _bundle_key() -> Finding:
    if settings.EVERLEARN_BUNDLE_KEY:
        said, path = "bundles are signed with EVERLEARN_BUNDLE_KEY", None
    else:
        path = signing.key_file()
        said = f"bundles are signed with the key in {path}"
    if len(signing.keys()) > 1:
        remedy = "manage.py rotate_bundle_key, then unset EVERLEARN_BUNDLE_KEY_FALLBACKS"
        return Finding("keys", State.WARNING, f"{said}, and older keys are accepted", remedy)
    if path is not None and path.stat().st_mode & 0o077:
        return Finding("keys", State.WARNING, f"others may read {path}", f"chmod 600 {path}")
    return Finding("keys", State.OK, said)


def _secret_key() -> Finding:
    remedy = "set EVERLEARN_SECRET_KEY to 50 random characters or more"
    if configuration.is_weak(settings.SECRET_KEY):
        return Finding("keys", State.WARNING, "the secret key is easy to guess", remedy)
    path = settings.EVERLEARN_HOME / "secret_key"
    if not path.exists() or path.read_text().strip() != settings.SECRET_KEY:
        return Finding("keys", State.OK, "the secret key is strong, from EVERLEARN_SECRET_KEY")
    stat = path.stat()
    days = int((time.time() - stat.st_mtime) // 86400)
    said = f"the secret key is strong, made {days} days ago in {path}"
    if stat.st_mode & 0o077:
        return Finding("keys", State.WARNING, f"others may read {path}", f"chmod 600 {path}")
    if days > SECRET_OLD_DAYS:
        return Finding("keys", State.WARNING, said, "delete the file to have a new one made")
    return Finding("keys", State.OK, said)


def _data() -> Iterator[Finding]:
    looks = SourceLook.objects.filter(registered_model__retired_at=None)
    away = looks.exclude(error="").select_related("registered_model")
    for look in away:
        said = f"the source of {look.registered_model}: {look.error}"
        yield Finding("data", State.WARNING, said, "see that it answers; README, Your own model")
    if not away:
        yield Finding("data", State.OK, f"{looks.count()} data sources looked at, all answered")


def _privacy() -> Iterator[Finding]:
    begun = Erasure.objects.filter(finished_at=None).count()
    if begun:
        said = f"{begun} erasures are not finished: rows still stand in training sets"
        yield Finding("privacy", State.WARNING, said, "manage.py forget again, for the same")
    else:
        yield Finding("privacy", State.OK, f"{Erasure.objects.count()} erasures, all finished")


def _retention() -> Iterator[Finding]:
    part, waiting = "retention", list(retention.announced())
    remedy = "nothing to do; EVERLEARN_RETAIN_… set another time, or off"
    for said in waiting:
        yield Finding(part, State.OK, f"{said} ({remedy})")
    if not waiting:
        yield Finding(part, State.OK, "nothing waits for its deletion")


def _training() -> Iterator[Finding]:
    part = "training"
    if settings.EVERLEARN_TRAINING_BACKEND == "local":
        yield Finding(part, State.OK, "here, by the worker")
        return
    where = f"by {settings.EVERLEARN_GITHUB_REPOSITORY} on GitHub"
    try:
        dispatching.try_access()
    except dispatching.DispatchRefused as refusal:
        remedy = "correct EVERLEARN_GITHUB_REPOSITORY, or give REPO_TOKEN access to it"
        yield Finding(part, State.BROKEN, f"{where}: {refusal}", remedy)
    except dispatching.GitHubAway as away:
        yield Finding(part, State.WARNING, f"{where}: {away}", "runs wait until it is back")
    else:
        yield Finding(part, State.OK, f"{where}, which REPO_TOKEN may see")


def _settings() -> Iterator[Finding]:
    environment, state = settings.EVERLEARN_ENVIRONMENT, _how_bad()
    rows = [*checks.default_passwords(), *checks.one_file_many_hosts()]
    found = [*safety.unsafe_settings(configuration.read()), *rows]
    for unsafe in found:
        yield Finding("settings", state, f"{unsafe.name} {unsafe.why}", unsafe.remedy)
    if not found:
        yield Finding("settings", State.OK, f"{environment}, and nothing in them is unsafe")
    elif state is State.WARNING:
        yield Finding("settings", State.OK, f"{environment}, where that may be")


def _proxies() -> Iterator[Finding]:
    if settings.EVERLEARN_TRUSTED_PROXIES:
        said = f"{settings.EVERLEARN_TRUSTED_PROXIES} trusted, for the addresses of clients"
        yield Finding("proxies", State.OK, said)
        return
    lately = timezone.now() - FORWARDED_LATELY
    if WebProcess.objects.filter(forwarded_at__gt=lately).exists():
        said = "requests came with X-Forwarded-For, and no proxy is trusted: limits of logins and "
        said += "requests take all clients behind a proxy for one"
        remedy = "if a proxy of yours is in front, set EVERLEARN_TRUSTED_PROXIES to how many are"
        yield Finding("proxies", State.WARNING, said, remedy)
    else:
        yield Finding("proxies", State.OK, "none trusted, and no request came through one")


def _how_bad() -> State:
    """What it is to have something that production must not have."""
    production = settings.EVERLEARN_ENVIRONMENT == "production"
    return State.BROKEN if production else State.WARNING


CHECKS: dict[str, Callable[[], Iterator[Finding]]] = {
    "database": _database,
    "worker": _worker,
    "mlflow": _mlflow,
    "storage": _storage,
    "disk": _disk,
    "keys": _keys,
    "proxies": _proxies,
    "training": _training,
    "data": _data,
    "privacy": _privacy,
    "retention": _retention,
    "settings": _settings,
}
