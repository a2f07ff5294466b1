"""fetching.py, addresses.py and datasets.py: data at an address, on a real server of the test's."""

from __future__ import annotations

import io
import socket
import tempfile
import time
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from django.conf import LazySettings

from models_app import addresses, datasets, fetching
from models_app.addresses import SourceRefused
from models_app.table_files import FileForm
from tests import s3_server
from tests.data_server import Source, leads_to, never_ends, says_nothing, sends, serving, trickles

CSV = b"a,b\n1,x\n2,y\n"


@pytest.fixture
def source(settings: LazySettings) -> Iterator[Source]:
    """A server on 127.0.0.1, the one private address that may be asked here."""
    settings.EVERLEARN_DATA_ALLOW = (ip_network("127.0.0.1/32"),)
    with serving() as server:
        yield server


def parquet(frame: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.to_parquet(file)
    return file.getvalue()


def test_csv_and_parquet_are_read_from_an_address(source: Source) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    source.answers = {"/t.csv": sends(CSV), "/t.parquet": sends(parquet(frame))}

    assert datasets.read_table(source.at("/t.csv?key=1")).to_dict() == frame.to_dict()
    assert datasets.read_table(source.at("/t.parquet")).to_dict() == frame.to_dict()


def test_a_redirect_is_followed_as_far_as_addresses_are_allowed(source: Source) -> None:
    away = {
        "/away": source.at("/t.csv", "127.0.0.2"),
        "/mapped": source.at("/t.csv", "[::ffff:127.0.0.2]"),
        "/decimal": source.at("/t.csv", "2130706434"),
        "/metadata": "http://169.254.169.254/latest/meta-data",
    }
    source.answers = {path: leads_to(place) for path, place in away.items()}
    source.answers |= {"/here": leads_to("/t.csv"), "/t.csv": sends(CSV)}

    assert len(datasets.read_table(source.at("/here"))) == 2
    for path in away:
        with pytest.raises(SourceRefused, match=r"not a public address|malformed") as refusal:
            datasets.read_table(source.at(path))
        assert refusal.value.code == "url_not_allowed"
    assert source.asked.count("/t.csv") == 1


def test_a_redirect_leads_to_no_file_and_round_in_no_circle(source: Source) -> None:
    source.answers = {"/file": leads_to("file:///etc/passwd"), "/round": leads_to("/round")}

    for path in source.answers:
        with pytest.raises((SourceRefused, OSError)):
            datasets.read_table(source.at(path))
    assert source.asked.count("/round") <= 20


def test_a_name_that_stands_for_another_address_when_it_is_asked_is_refused(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = ["93.184.216.34"]

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        # As a name server that answers otherwise the second time.
        address = resolved.pop() if resolved else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    place = source.at("/t.csv", "rebinding.example")

    addresses.check_address(place)
    with pytest.raises(SourceRefused, match=r"127\.0\.0\.2 is not a public address"):
        datasets.read_table(place)


@pytest.mark.parametrize(
    "place",
    [
        "http://127.0.0.1/t.csv",
        "http://localhost/t.csv",
        "http://2130706433/t.csv",
        "http://0x7f000001/t.csv",
        "http://127.1/t.csv",
        "http://[::1]/t.csv",
        "http://[::ffff:127.0.0.1]/t.csv",
        "http://[64:ff9b::7f00:1]/t.csv",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/t.csv",
        "http://192.168.1.1/t.csv",
        "http://172.16.0.1/t.csv",
        "http://100.64.0.1/t.csv",
        "http://[fe80::1]/t.csv",
        "http://[fd00:ec2::254]/t.csv",
        "http://[::ffff:a9fe:a9fe]/t.csv",
        "http://0251.0376.0251.0376/t.csv",
        "http://0.0.0.0/t.csv",
        "http://224.0.0.1/t.csv",
    ],
)
def test_what_is_not_public_is_refused_before_and_when_it_is_fetched(
    place: str, settings: LazySettings
) -> None:
    settings.EVERLEARN_DATA_ALLOW = ()

    for ask in (addresses.check_address, datasets.read_table):
        with pytest.raises(SourceRefused, match=r"not a public address|malformed") as refusal:
            ask(place)
        assert refusal.value.code == "url_not_allowed"


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("file:///etc/passwd", "addresses begin with"),
        ("gopher://example.com/", "addresses begin with"),
        ("http://user:secret@example.com/t.csv", "holds a user or a password"),
        ("http:///t.csv", "names no host"),
        ("http://example.com:99999/", "malformed"),
    ],
)
def test_other_kinds_of_address_are_refused_without_being_repeated(place: str, words: str) -> None:
    with pytest.raises(SourceRefused, match=words) as refusal:
        datasets.read_table(place)

    assert "secret" not in str(refusal.value)


def test_the_setting_s_address_meets_the_same_rules(settings: LazySettings) -> None:
    for place in ("file:///etc/passwd", "http://user:secret@example.com/t.csv", "http://[::1]/"):
        settings.DATA_URL = place
        for ask in (datasets.read_table, datasets.look):
            with pytest.raises(SourceRefused) as refusal:
                ask("env:DATA_URL")
            assert refusal.value.code == "url_not_allowed"


def test_what_never_ends_or_never_comes_is_given_up_and_leaves_no_file(
    source: Source, settings: LazySettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    settings.EVERLEARN_DATA_LIMIT, settings.EVERLEARN_DATA_TIMEOUT = 2, 1
    source.answers = {"/endless": never_ends, "/slow": trickles, "/silent": says_nothing}

    for path, words in {
        "/endless": "more than 2 MiB",
        "/slow": "took too long",
        "/silent": "took too long",
    }.items():
        began = time.monotonic()
        with pytest.raises(SourceRefused, match=words) as refusal:
            datasets.read_table(source.at(path))
        assert refusal.value.code == "data_source_rejected"
        assert time.monotonic() - began < 5
    assert list(tmp_path.iterdir()) == []


def test_the_file_that_was_fetched_has_no_name(
    source: Source, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    source.answers = {"/t.csv": sends(CSV)}

    with fetching.fetched(source.at("/t.csv")) as (file, _):
        # Whoever is killed now leaves nothing behind.
        assert list(tmp_path.iterdir()) == []
        assert file.read() == CSV


def test_what_is_not_there_is_refused_and_what_does_not_answer_may_answer_later(
    source: Source,
) -> None:
    source.answers = {"/broken.csv": lambda handler: handler.send_error(500)}

    with pytest.raises(datasets.DataRefused, match="no such file"):
        datasets.read_table(source.at("/absent.csv"))
    with pytest.raises(OSError, match="cannot be fetched: 500"):
        datasets.read_table(source.at("/broken.csv"))


def test_unchanged_data_keeps_its_fingerprint(source: Source) -> None:
    source.answers = {"/t.csv": sends(CSV, ETag='"one"'), "/plain.csv": sends(CSV)}
    _, _, first = datasets.read_texts(source.at("/t.csv"), FileForm())

    assert first.rows == 2
    assert datasets.look(source.at("/t.csv")).fingerprint == first.fingerprint != ""
    source.answers["/t.csv"] = sends(CSV, ETag='"two"')
    changed = datasets.look(source.at("/t.csv"))
    assert changed.fingerprint != first.fingerprint
    assert (changed.place, changed.rows) == (first.place, None)
    assert datasets.look(source.at("/plain.csv")).fingerprint == ""


def test_a_file_has_another_fingerprint_once_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(CSV)
    _, _, first = datasets.read_texts(str(path), FileForm())

    assert datasets.look(str(path)).fingerprint == first.fingerprint
    path.write_bytes(CSV + b"3,z\n")
    assert datasets.look(str(path)).fingerprint != first.fingerprint


def test_data_in_s3_is_read_and_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server.bucket() as environ:
        for name, text in environ.items():
            monkeypatch.setenv(name, text)
        bucket, place = s3_server.client(environ), f"s3://{s3_server.BUCKET}/t.csv"
        bucket.put_object(Bucket=s3_server.BUCKET, Key="t.csv", Body=CSV)

        frame, _, first = datasets.read_texts(place, FileForm())

        assert frame["b"].tolist() == ["x", "y"]
        assert datasets.look(place).fingerprint == first.fingerprint != ""
        bucket.put_object(Bucket=s3_server.BUCKET, Key="t.csv", Body=CSV + b"3,z\n")
        assert datasets.look(place).fingerprint != first.fingerprint
        with pytest.raises(datasets.DataRefused, match="no such file"):
            datasets.look(f"s3://{s3_server.BUCKET}/other.csv")
