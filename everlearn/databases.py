"""How the database is spoken to: SQLite in a file, or PostgreSQL, each with its own safeguards."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from environ import Env

from everlearn.configuration import Configuration, ConfigurationError

# SQLite's locks and its shared memory do not work across machines, and rows would be lost.
NETWORK_FILESYSTEMS = frozenset(
    ("afs", "beegfs", "ceph", "cifs", "davfs", "fuse.ceph", "fuse.davfs2", "fuse.glusterfs",
     "fuse.goofys", "fuse.juicefs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "gfs2", "glusterfs",
     "gpfs", "lustre", "ncpfs", "nfs", "nfs3", "nfs4", "ocfs2", "smb2", "smb3", "smbfs")
)  # fmt: skip
MOUNTS = Path("/proc/mounts")
BUSY_SECONDS = 5
POSTGRES = ("postgres", "postgresql")

POSTGRES_SESSION = {
    # Whatever the server's or the role's own default is: an answer is on the disk. Off would
    # lose answered rows with the server's process, not only with its power.
    "synchronous_commit": "on",
    # As patient as SQLite's writer: then 503 storage_busy.
    "lock_timeout": f"{BUSY_SECONDS}s",
    # A process that was stopped within a transaction must not hold its locks for ever.
    "idle_in_transaction_session_timeout": "60s",
}
POSTGRES_CONNECTION = {
    "connect_timeout": 3,
    # A server that vanished without a word is noticed in half a minute, not in two hours.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


def database(given: Configuration) -> dict[str, Any]:
    """Django's settings of the database. Raises ConfigurationError for SQLite on a network."""
    url = given.database_url or f"sqlite:///{given.home}/db.sqlite3"
    settings: dict[str, Any] = dict(Env.db_url_config(url))
    settings["CONN_MAX_AGE"] = None
    if settings["ENGINE"] == "django.db.backends.sqlite3":
        refuse_network_volume(Path(settings["NAME"]))
        return settings | {
            "ENGINE": "everlearn.sqlite",
            "OPTIONS": _sqlite_options(given.durability),
        }
    return settings | {
        "ENGINE": "everlearn.postgresql",
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": _postgres_options(settings.get("OPTIONS", {})),
    }


def mlflow_uri(given: Configuration) -> str:
    """Where MLflow is, as it wants to be told: a PostgreSQL database needs the driver's name."""
    uri = given.mlflow_tracking_uri or f"sqlite:///{given.home}/mlflow.db"
    scheme, separator, rest = uri.partition("://")
    return f"postgresql+psycopg{separator}{rest}" if scheme in POSTGRES else uri


def _sqlite_options(durability: str) -> dict[str, Any]:
    synchronous = {"process": "NORMAL", "power": "FULL"}[durability]
    return {
        # A deferred transaction that turns from reading to writing fails at once when another
        # one writes; an immediate one waits its turn.
        "transaction_mode": "IMMEDIATE",
        "timeout": BUSY_SECONDS,
        "init_command": f"PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous};",
    }


def _postgres_options(asked: dict[str, Any]) -> dict[str, Any]:
    """Ours, but for what the URL's query says."""
    session = " ".join(f"-c {name}={value}" for name, value in POSTGRES_SESSION.items())
    said = f"{session} {asked.get('options', '')}".strip()
    return POSTGRES_CONNECTION | asked | {"options": said}


def refuse_network_volume(path: Path, mounts: Path = MOUNTS) -> None:
    """Raise ConfigurationError when `path` is on a volume that machines share over a network."""
    if not mounts.exists():  # only Linux has it
        return
    kind = filesystem(path, mounts.read_text(errors="replace"))
    if kind in NETWORK_FILESYSTEMS:
        raise ConfigurationError(
            f"DATABASE_URL is SQLite on a network volume ({kind}, {path}), where it loses rows: "
            "set EVERLEARN_HOME to a local folder, or DATABASE_URL to a postgres:// URL"
        )


def filesystem(path: Path, mounts: str) -> str:
    """The type of the file system that `path` is on, by what /proc/mounts says; else ""."""
    real = Path(os.path.realpath(path))
    found, best = "", -1
    for line in mounts.splitlines():
        _, point, kind, *_ = line.split(" ")
        where = Path(_unescaped(point))
        # The last mount over a folder hides those before it.
        if real.is_relative_to(where) and len(where.parts) >= best:
            found, best = kind, len(where.parts)
    return found


def _unescaped(point: str) -> str:
    # A space in a name is written as \040, and so on.
    for code in ("040", "011", "012", "134"):
        point = point.replace(f"\\{code}", chr(int(code, 8)))
    return point
