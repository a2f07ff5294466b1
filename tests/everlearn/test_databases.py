"""everlearn/databases.py: how the database is spoken to."""

from pathlib import Path

import pytest
from django.db import connection

from everlearn.configuration import ConfigurationError, read
from everlearn.databases import database, filesystem, refuse_network_volume

MOUNTS = """\
/dev/vda / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
server:/export /mnt/shared nfs4 rw,vers=4.2 0 0
/dev/vdb /mnt/shared/local ext4 rw 0 0
//host/share /mnt/with\\040space cifs rw 0 0
me@host: /home/me/far fuse.sshfs rw 0 0
"""
NOWHERE = Path("/nonexistent")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/everlearn/db.sqlite3", "ext4"),
        ("/mnt/shared/db.sqlite3", "nfs4"),
        ("/mnt/shared/deep/er/db.sqlite3", "nfs4"),
        ("/mnt/sharedx/db.sqlite3", "ext4"),
        ("/mnt/shared/local/db.sqlite3", "ext4"),
        ("/mnt/with space/db.sqlite3", "cifs"),
        ("/home/me/far/db.sqlite3", "fuse.sshfs"),
    ],
)
def test_the_mount_nearest_to_a_path_says_its_file_system(path, kind):
    assert filesystem(Path(path), MOUNTS) == kind


def test_a_link_is_followed_to_where_the_file_is(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    assert filesystem(tmp_path / "link/db", f"x {tmp_path}/real nfs rw 0 0\n") == "nfs"


def test_a_mount_over_another_hides_it():
    assert filesystem(Path("/a/db"), "x /a nfs rw 0 0\ny /a ext4 rw 0 0\n") == "ext4"


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "fuse.sshfs"])
def test_sqlite_on_a_network_volume_is_refused_by_name(tmp_path, kind):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/x {tmp_path} {kind} rw 0 0\n")

    with pytest.raises(ConfigurationError, match=rf"^DATABASE_URL .* \({kind}, "):
        refuse_network_volume(tmp_path / "db.sqlite3", mounts)


def test_a_local_volume_is_not_refused(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/x {tmp_path} ext4 rw 0 0\n")

    refuse_network_volume(tmp_path / "db.sqlite3", mounts)
    refuse_network_volume(tmp_path / "db.sqlite3", tmp_path / "absent")


def _postgres(query: str = ""):
    url = f"postgres://ada:secret@db.example:6543/everlearn{query}"
    return database(read({"DATABASE_URL": url}, NOWHERE))


def test_postgres_is_reached_where_the_url_says():
    settings = _postgres()

    assert (settings["HOST"], settings["PORT"], settings["NAME"]) == (
        "db.example", 6543, "everlearn",
    )  # fmt: skip
    assert (settings["USER"], settings["PASSWORD"]) == ("ada", "secret")
    assert settings["CONN_MAX_AGE"] is None


def test_what_the_url_asks_for_wins_over_ours():
    options = _postgres("?connect_timeout=9&options=-c%20lock_timeout%3D9s")["OPTIONS"]

    assert options["connect_timeout"] == 9
    assert options["options"].index("lock_timeout=5s") < options["options"].index("lock_timeout=9s")


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL's settings")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("synchronous_commit", "on"),
        ("lock_timeout", "5s"),
        ("idle_in_transaction_session_timeout", "1min"),
    ],
)
def test_a_session_of_postgres_has_our_safeguards(name, value):
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        assert cursor.fetchone() == (value,)
