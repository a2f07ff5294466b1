"""verifying.py: O2, whatever is no whole backup is refused by the name of the reason."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from everlearn.backups.archiving import opened
from everlearn.backups.verifying import BackupRefused
from tests.everlearn.backups.home import fill, manage


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    fill(home)
    assert manage(home, "backup", str(home / "backup")).returncode == 0
    return home


TRIGGERS = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
Change = Callable[[dict[str, bytes]], object]


def _changed(home: Path, target: Path, change: Change, *, sealed: bool = True) -> Path:
    """A copy of the backup with other files in it; sealed: with a manifest that names them."""
    with tarfile.open(home / "backup") as tar:
        files = {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]
    change(files)
    if sealed:
        manifest = json.loads(files.pop("manifest.json"))
        manifest["members"] = {
            name: {"size": len(part), "sha256": sha256(part).hexdigest()}
            for name, part in files.items()
        }
        files["manifest.json"] = json.dumps(manifest).encode()
    with tarfile.open(target, "w:gz") as tar:
        for name, part in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(part)
            tar.addfile(member, io.BytesIO(part))
    return target


def _refusal(backup: Path) -> str:
    with pytest.raises(BackupRefused) as refused, opened(backup):
        pass
    assert str(refused.value).startswith(refused.value.code)
    return refused.value.code


def _in_database(statement: str) -> Change:
    def change(files: dict[str, bytes]) -> None:
        with closing(sqlite3.connect(":memory:")) as database:
            database.deserialize(files["database/db.sqlite3"])
            database.execute("PRAGMA foreign_keys=OFF")
            # As somebody would who can write to the file.
            for (name,) in database.execute(TRIGGERS).fetchall():
                database.execute(f"DROP TRIGGER {name}")
            database.execute(statement)
            database.commit()
            files["database/db.sqlite3"] = database.serialize()

    return change


def _bundle_file(files: dict[str, bytes], name: str) -> str:
    """A file of the bundle that serves; there is another, which does not."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.deserialize(files["database/db.sqlite3"])
        ((digest,),) = database.execute(
            "SELECT bundle_digest FROM models_app_modelversion WHERE number = 1"
        )
    return f"storage/bundles/{digest}/{name}"


def test_a_plain_copy_of_the_live_database_file_is_no_backup(home: Path, tmp_path: Path) -> None:
    """O2."""
    copy = tmp_path / "copy"
    shutil.copy(home / "db.sqlite3", copy)

    assert _refusal(copy) == "plain_sqlite_copy"


@pytest.mark.parametrize("kept", [0, 1, 100, 10_000, -10_000, -9, -1])
def test_a_backup_that_was_cut_off_is_refused(kept: int, home: Path, tmp_path: Path) -> None:
    """O2."""
    (tmp_path / "cut").write_bytes((home / "backup").read_bytes()[:kept])

    assert _refusal(tmp_path / "cut") in {"truncated", "not_a_backup"}


@pytest.mark.parametrize("sealed", [True, False])
def test_a_backup_without_its_key_is_refused(sealed: bool, home: Path, tmp_path: Path) -> None:
    """O2."""
    changed = _changed(
        home, tmp_path / "no-key", lambda files: files.pop("secret_key"), sealed=sealed
    )

    assert _refusal(changed) == "keys_missing"


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("manifest_missing", lambda files: files.pop("manifest.json")),
        ("member_unknown", lambda files: files.update(odd=b"")),
        ("member_missing", lambda files: files.pop("mlflow.db")),
        ("member_damaged", lambda files: files.update(secret_key=b"other")),
        ("manifest_damaged", lambda files: files.update({"manifest.json": b"{"})),
    ],
)
def test_a_member_that_is_not_what_was_backed_up_is_named(
    code: str, change: Change, home: Path, tmp_path: Path
) -> None:
    assert _refusal(_changed(home, tmp_path / "changed", change, sealed=False)) == code


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("database_missing", lambda files: files.pop("database/db.sqlite3")),
        ("mlflow_missing", lambda files: files.pop("mlflow.db")),
        ("database_damaged", lambda files: files.update({"database/db.sqlite3": b"SQLite f" * 99})),
        ("mlflow_damaged", lambda files: files.update({"mlflow.db": b"SQLite f" * 99})),
        ("ledger_gap", _in_database("UPDATE models_app_deployment SET generation = 2")),
        ("ledger_gap", _in_database("UPDATE models_app_registeredmodel SET generation = 2")),
        ("counts_differ", _in_database("DELETE FROM models_app_prediction")),
        ("bundle_missing", lambda files: files.pop(_bundle_file(files, "manifest.json"))),
        ("bundle_hash_mismatch", lambda files: files.pop(_bundle_file(files, "smoke.json"))),
        (
            "bundle_hash_mismatch",
            lambda files: files.update({_bundle_file(files, "smoke.json"): b"{}"}),
        ),
    ],
)
def test_what_cannot_carry_on_is_refused_though_every_hash_fits(
    code: str, change: Change, home: Path, tmp_path: Path
) -> None:
    """O2."""
    assert _refusal(_changed(home, tmp_path / "changed", change)) == code


def test_a_member_that_would_leave_the_folder_is_refused(home: Path, tmp_path: Path) -> None:
    changed = _changed(home, tmp_path / "out", lambda files: files.update({"../out": b""}))

    assert _refusal(changed) == "unreadable"
    assert not (tmp_path.parent / "out").exists()


def test_the_command_says_what_is_wrong_and_ends_with_1(home: Path) -> None:
    whole = manage(home, "backup", "--verify", str(home / "backup"))
    refused = manage(home, "backup", "--verify", str(home / "db.sqlite3"))

    assert whole.returncode == 0
    assert "is whole" in whole.stdout
    assert refused.returncode == 1
    assert "plain_sqlite_copy" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
