"""Rotating the key that signs bundles, also when it is killed half-way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings as live
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from pytest_django import Settings

from models_app import bundle_signatures, bundles, signing, signing_keys
from models_app.conversion import make_bundle
from models_app.learning import pipeline, tables
from models_app.refusals import BundleRefused
from tests import environments
from tests.factories import SCHEMA, leaves, make_user, make_version
from tests.models_app.test_signing import NEW, OLD

pytestmark = pytest.mark.django_db


@pytest.fixture
def home(settings: Settings, tmp_path: Path) -> Path:
    """A home of its own with its storage in it."""
    settings.EVERLEARN_HOME = tmp_path
    default = settings.STORAGES["default"]
    options = default.get("OPTIONS", {}) | {"location": str(tmp_path / "storage")}
    default = default | {"OPTIONS": options}
    settings.STORAGES = {**settings.STORAGES, "default": default}
    return tmp_path


@pytest.fixture
def digests(home: Path) -> list[str]:
    """Three stored bundles."""
    frame = leaves()
    estimator = pipeline.build("logistic", schema=SCHEMA, task="classification", seed=0)
    estimator.fit(tables.encode(frame, SCHEMA), frame["kind"].to_numpy(dtype=object))
    instances = tables.instances_of(frame, SCHEMA)
    return [
        make_bundle(
            estimator, name=name, schema=SCHEMA, task="classification",
            classes=("elm", "oak"), instances=instances,
        ).digest
        for name in ("a", "b", "c")
    ]  # fmt: skip


def valid(digests: list[str]) -> Iterator[bool]:
    for digest in digests:
        yield signing.is_valid(digest, bundles.stored_signature(digest))


def test_one_command_gives_every_bundle_a_signature_of_a_new_key(
    home: Path, digests: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (before,) = signing.keys()
    forged = home / "storage" / "bundles" / digests[2] / bundles.SIGNATURE
    forged.write_bytes(b"v1 " + b"0" * 64 + b"\n")

    call_command("rotate_bundle_key")

    (after,) = signing.keys()
    assert after != before
    assert list(valid(digests)) == [True, True, False]
    assert bundles.load(digests[0]).name == "a"
    told = capsys.readouterr().out
    assert "Signed 2 bundles anew" in told
    assert digests[2][:12] in told
    assert signing.key_file().stat().st_mode & 0o777 == 0o600


def test_a_rotation_that_was_killed_half_way_refuses_nothing_and_is_taken_up_again(
    digests: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signing.keys()
    real, calls = bundles.sign_stored, iter((True, False))

    def killed(digest: str) -> bool:
        if not next(calls):
            raise KeyboardInterrupt
        return real(digest)

    with monkeypatch.context() as patched:
        patched.setattr(bundles, "sign_stored", killed)
        with pytest.raises(KeyboardInterrupt):
            call_command("rotate_bundle_key")

    half_way = signing.keys()
    assert half_way[1:] == before
    assert all(valid(digests))
    call_command("rotate_bundle_key")
    assert signing.keys() == half_way[:1]
    assert all(valid(digests))


def test_a_key_of_the_environment_is_rotated_as_the_command_says(
    digests: list[str], settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.EVERLEARN_BUNDLE_KEY = OLD
    for digest in digests:
        bundles.sign_stored(digest)

    call_command("rotate_bundle_key")

    told = capsys.readouterr().out
    assert "EVERLEARN_BUNDLE_KEY=" in told
    assert "EVERLEARN_BUNDLE_KEY_FALLBACKS" in told
    assert OLD not in told
    assert all(valid(digests))
    settings.EVERLEARN_BUNDLE_KEY, settings.EVERLEARN_BUNDLE_KEY_FALLBACKS = NEW, (OLD,)
    call_command("rotate_bundle_key")
    assert "Signed 3 bundles anew" in capsys.readouterr().out
    settings.EVERLEARN_BUNDLE_KEY_FALLBACKS = ()
    assert all(valid(digests))


def test_only_superusers_sign_and_rotate(digests: list[str]) -> None:
    manager = make_user("max", groups=("manager",))
    before = signing.keys()

    for change in (
        bundle_signatures.begin_rotation,
        bundle_signatures.sign_anew,
        bundle_signatures.finish_rotation,
    ):
        with pytest.raises(PermissionDenied):
            change(actor=manager)

    with pytest.raises(PermissionDenied):
        bundle_signatures.sign_version(make_version(), actor=manager, reason="I may not")
    assert signing.keys() == before


def test_a_bundle_that_was_signed_while_the_key_changed_is_signed_anew_too(
    digests: list[str],
) -> None:
    boss = make_user("boss", is_superuser=True)
    (old,) = signing.keys()
    bundle_signatures.begin_rotation(actor=boss)
    signing_keys.replace(signing.key_file(), (signing.keys()[0], old))

    done = bundle_signatures.sign_anew(actor=boss)

    assert (done.signed, done.current, done.unsigned) == (3, 0, ())


def test_a_malformed_key_file_stops_every_command_with_one_line(tmp_path: Path) -> None:
    (tmp_path / signing_keys.FILE).write_text("short")

    done = subprocess.run(
        [sys.executable, "manage.py", "check"], cwd=live.BASE_DIR, text=True, check=False,
        capture_output=True, env=environments.of_another(tmp_path),
    )  # fmt: skip

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "bundle_key" in done.stderr


def test_a_bundle_of_a_lost_key_is_refused_until_the_key_is_back(
    digests: list[str], home: Path
) -> None:
    kept = signing.key_file().read_text()
    signing.key_file().unlink()
    with pytest.raises(BundleRefused):
        bundles.load(digests[0])

    signing.key_file().write_text(kept)

    assert bundles.load(digests[0]).name == "a"
