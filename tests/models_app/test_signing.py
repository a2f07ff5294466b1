"""Signatures of bundles: whose they are, and that nothing is read without one."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from pytest_django import Settings

from everlearn.configuration import ConfigurationError, read
from models_app import bundles, signing, signing_keys
from models_app.refusals import BundleRefused
from tests.factories import _bundle_digest

DIGEST, OTHER = "ab" * 32, "cd" * 32
OLD, NEW = "an-older-key-of-40-characters-0123456789", "a-newer-key-of-40-characters-9876543210"


@pytest.fixture
def made() -> str:
    """A stored bundle, cached where it was made: not in the home of the test."""
    return _bundle_digest(False)


@pytest.fixture(autouse=True)
def home(made: str, settings: Settings, tmp_path: Path) -> Path:
    settings.EVERLEARN_HOME = tmp_path
    return tmp_path


def test_a_signature_is_of_one_bundle_and_of_one_key(settings: Settings) -> None:
    settings.EVERLEARN_BUNDLE_KEY = OLD
    signature = signing.sign(DIGEST)

    assert signing.is_valid(DIGEST, signature)
    assert not signing.is_valid(OTHER, signature)
    settings.EVERLEARN_BUNDLE_KEY = NEW
    assert not signing.is_valid(DIGEST, signature)
    settings.EVERLEARN_BUNDLE_KEY_FALLBACKS = (OLD,)
    assert signing.is_valid(DIGEST, signature)
    assert not signing.is_current(DIGEST, signature)


@pytest.mark.parametrize(
    "altered",
    [
        lambda good: b"",
        lambda good: good[:-1],
        lambda good: good.upper(),
        lambda good: good.replace(b"v1", b"v2"),
        lambda good: b" " + good,
        lambda good: good + good,
        lambda good: good + b"\0" * 2**20,
        lambda good: b"v1 " + b"0" * 64 + b"\n",
        lambda good: b"v1 " + "٣".encode() * 64 + b"\n",
    ],
)
def test_no_other_bytes_are_a_signature(altered) -> None:
    assert not signing.is_valid(DIGEST, altered(signing.sign(DIGEST)))


@pytest.mark.parametrize("digest", ["", "AB" * 32, "ab" * 31, "ab" * 32 + "\n", "../" * 21 + "x"])
def test_what_is_no_digest_is_never_signed_for(digest: str) -> None:
    assert not signing.is_valid(digest, signing.sign(digest))


def test_a_key_is_made_once_and_for_its_owner_alone(home: Path) -> None:
    made = signing.keys()

    assert signing.keys() == made
    assert len(made[0]) >= 43
    assert (home / "bundle_key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "key", ["short", "a" * 40, "with spaces in a key of 40 characters!", "comma," * 8, "é" * 40]
)
def test_a_key_that_is_short_or_malformed_stops_the_start_with_one_line(
    key: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        read({"EVERLEARN_HOME": str(tmp_path), "EVERLEARN_BUNDLE_KEY": key}, tmp_path / "none")

    assert "EVERLEARN_BUNDLE_KEY is malformed" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert key not in str(refusal.value)


@pytest.mark.parametrize("content", ["", "short\n", f"{OLD}\nshort\n"])
def test_a_file_without_a_usable_key_stops_the_start_and_is_not_replaced(
    content: str, tmp_path: Path
) -> None:
    (tmp_path / signing_keys.FILE).write_text(content)

    with pytest.raises(ConfigurationError, match="bundle_key holds no usable bundle key"):
        read({"EVERLEARN_HOME": str(tmp_path)}, tmp_path / "none")

    assert (tmp_path / signing_keys.FILE).read_text() == content


@pytest.fixture
def digest(made: str, settings: Settings) -> Iterator[str]:
    """A stored bundle that nothing has cached yet, unsigned."""
    digest = made
    default_storage.delete(f"bundles/{digest}/{bundles.SIGNATURE}")
    yield digest
    settings.EVERLEARN_HOME = os.environ["EVERLEARN_HOME"]
    settings.EVERLEARN_BUNDLE_KEY = ""
    bundles.sign_stored(digest)


def put(digest: str, signature: bytes) -> None:
    default_storage.save(f"bundles/{digest}/{bundles.SIGNATURE}", ContentFile(signature))


@pytest.mark.parametrize(
    "signature",
    [b"", b"v1 ", secrets.token_bytes(64), b"x" * 2**20, signing._DOMAIN],
    ids=["empty", "cut", "random", "huge", "domain"],
)
def test_a_bundle_without_a_valid_signature_is_refused_before_anything_of_it_is_read(
    digest: str, signature: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(digest, signature)
    monkeypatch.setattr(json, "loads", lambda content: pytest.fail("it was parsed"))

    for ask in (bundles.load, bundles.files_of, bundles.stored_files):
        with pytest.raises(BundleRefused) as refusal:
            ask(digest)
        assert refusal.value.code == "signature_invalid"


def test_a_signature_of_another_bundle_or_key_is_refused(digest: str, settings: Settings) -> None:
    for signature in (signing.sign(OTHER), b""):
        put(digest, signature)
        with pytest.raises(BundleRefused, match="sign"):
            bundles.load(digest)
    settings.EVERLEARN_BUNDLE_KEY = OLD
    put(digest, signing.sign(digest))
    settings.EVERLEARN_BUNDLE_KEY = NEW

    with pytest.raises(BundleRefused) as refusal:
        bundles.load(digest)
    assert refusal.value.code == "signature_invalid"


def test_links_and_folders_in_the_place_of_a_signature_count_for_nothing(
    digest: str, home: Path
) -> None:
    kept = home / "cache" / "bundles" / digest / bundles.SIGNATURE
    kept.parent.mkdir(parents=True)
    for make in (lambda: kept.symlink_to("/dev/zero"), kept.mkdir, lambda: os.mkfifo(kept)):
        make()
        with pytest.raises(BundleRefused) as refusal:
            bundles.load(digest)
        assert refusal.value.code == "signature_invalid"
        kept.rmdir() if kept.is_dir() else kept.unlink()


def test_a_signature_is_fetched_again_when_the_cached_one_has_no_key_any_more(
    digest: str, settings: Settings
) -> None:
    settings.EVERLEARN_BUNDLE_KEY = OLD
    put(digest, signing.sign(digest))
    bundles.load(digest)
    settings.EVERLEARN_BUNDLE_KEY = NEW
    with pytest.raises(BundleRefused):
        bundles.load(digest)

    bundles.sign_stored(digest)

    assert bundles.load(digest).digest == digest
