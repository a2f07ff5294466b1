"""Where MLflow keeps files: ours when no server of its decides that, and where we fetch from.

What MLflow says of a place is only a claim. A place counts when it lies below a root of this
installation; any other is never asked, so that no login of ours reaches another host.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from django.conf import settings

from models_app.refusals import ArtifactUntrusted

# Where a tracking server answers for its own files, below its address.
SERVED = "/api/2.0/mlflow-artifacts/artifacts"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NEVER = re.compile(r"[\x00-\x20\x7f\\?#]")
_MOST_DECODINGS = 3


def artifact_location(experiment: str) -> str | None:
    """An address below the storage or the home; None where a server knows its own.

    MLflow's tables in PostgreSQL are shared by hosts, and so are the files then, if they can be.
    """
    scheme = urlsplit(settings.MLFLOW_TRACKING_URI).scheme
    if scheme.startswith("postgresql") and settings.EVERLEARN_STORAGE:
        return f"{settings.EVERLEARN_STORAGE}/mlartifacts/{experiment}"
    if scheme == "sqlite" or scheme.startswith("postgresql"):
        return (settings.EVERLEARN_HOME / "mlartifacts" / experiment).as_uri()
    return None


def refuse_untrusted(location: str) -> None:
    """Raise ArtifactUntrusted unless `location` lies below a root of this installation."""
    if not _is_trusted(location):
        raise ArtifactUntrusted(
            f"MLflow keeps it at {_shown(location)}, which lies below no root of this "
            "installation; EVERLEARN_ARTIFACT_ROOTS may name more"
        )


def local_file(location: str, path: str) -> Path | None:
    """The file `path` of a trusted location on this machine; None for any other location.

    Raises ArtifactUntrusted for one that links lead out of its root.
    """
    parts = urlsplit(location)
    if parts.scheme not in ("", "file"):
        return None
    folder = Path(unquote(parts.path) if parts.scheme else location)
    found = (folder / path).resolve()
    roots = [Path(unquote(root.path)).resolve() for root in _roots() if root.scheme == "file"]
    if not any(found.is_relative_to(root) for root in roots):
        raise ArtifactUntrusted(f"{_shown(location)} leads to another place")
    return found


def _is_trusted(location: str) -> bool:
    if _NEVER.search(location) or not location.isascii():
        return False
    try:
        parts = urlsplit(location)
        port = parts.port
    except ValueError:
        return False
    if "@" in parts.netloc or port == 0 or not _is_plain(parts.path):
        return False
    if location.startswith("/") and not location.startswith("//"):
        parts = parts._replace(scheme="file")
    if parts.scheme in ("mlflow-artifacts", "http", "https"):
        return _is_the_servers(parts)
    return any(_is_below(parts, root) for root in _roots())


def _is_plain(path: str) -> bool:
    """Whether a path stays below where it begins, however often it is decoded."""
    for _ in range(_MOST_DECODINGS):
        decoded = unquote(path)
        if any(part in (".", "..") for part in decoded.split("/")) or _NEVER.search(
            decoded.replace(" ", "")
        ):
            return False
        if decoded == path:
            return True
        path = decoded
    return False


def _is_the_servers(parts: SplitResult) -> bool:
    """Whether it is what the tracking server itself hands out."""
    server = urlsplit(settings.MLFLOW_TRACKING_URI)
    if server.scheme not in _DEFAULT_PORTS:
        return False
    scheme = server.scheme if parts.scheme == "mlflow-artifacts" else parts.scheme
    same = not parts.netloc or _host(parts, scheme) == _host(server, server.scheme)
    if parts.scheme == "mlflow-artifacts":
        return same and parts.path.startswith("/") and not parts.path.startswith("//")
    served = f"{server.path.rstrip('/')}{SERVED}/"
    return bool(parts.netloc) and same and parts.path.startswith(served)


def _host(parts: SplitResult, scheme: str) -> tuple[str, str, int]:
    return scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS[scheme]


def _is_below(parts: SplitResult, root: SplitResult) -> bool:
    if (parts.scheme, parts.netloc) != (root.scheme, root.netloc):
        return False
    return parts.path.startswith(root.path.rstrip("/") + "/")


def _roots() -> list[SplitResult]:
    roots = list(settings.EVERLEARN_ARTIFACT_ROOTS)
    scheme = urlsplit(settings.MLFLOW_TRACKING_URI).scheme
    if scheme == "sqlite" or scheme.startswith("postgresql"):
        roots.append((settings.EVERLEARN_HOME / "mlartifacts").as_uri())
        if settings.EVERLEARN_STORAGE:
            roots.append(f"{settings.EVERLEARN_STORAGE}/mlartifacts")
    if scheme == "databricks" or settings.MLFLOW_TRACKING_URI == "databricks":
        roots.append("dbfs:/")  # asked of no host but Databricks'
    return [urlsplit(root) for root in roots]


def _shown(location: str) -> str:
    """The scheme and host of a place, without what may be a password."""
    scheme, _, rest = location.partition("://")
    shown = f"{scheme}://{rest.partition('/')[0].rpartition('@')[2]}" if rest else scheme
    return repr(shown[:100])
