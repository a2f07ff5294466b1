"""object_storage.py, against an S3 server."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from django.core.files.base import ContentFile, File

from models_app.object_storage import IN_MEMORY, ObjectStorage
from models_app.refusals import Unavailable
from tests import s3_server


class Refused(File[bytes]):
    """A body that turns out to be wrong half-way, and can only be read in pieces."""

    def __init__(self) -> None:
        super().__init__(None, name="rows")

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        yield b"half"
        raise ValueError("not CSV")


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with s3_server.bucket() as environ:
        yield environ


@pytest.fixture
def storage(server, monkeypatch, request) -> ObjectStorage:
    for name, text in server.items():
        monkeypatch.setenv(name, text)
    return ObjectStorage(bucket_name=s3_server.BUCKET, location=request.node.name)


def _read(storage: ObjectStorage, name: str) -> bytes:
    with storage.open(name) as file:
        content: bytes = file.read()
    return content


def test_a_file_is_given_back_and_a_second_one_takes_its_place(storage) -> None:
    assert storage.save("bundles/a/model.onnx", ContentFile(b"first")) == "bundles/a/model.onnx"
    assert storage.save("bundles/a/model.onnx", ContentFile(b"second")) == "bundles/a/model.onnx"

    assert storage.exists("bundles/a/model.onnx")
    assert _read(storage, "bundles/a/model.onnx") == b"second"
    assert storage.listdir("bundles") == (["a"], [])
    assert storage.listdir("bundles/a") == ([], ["model.onnx"])


def test_a_long_one_goes_through_a_file(storage) -> None:
    content = b"0123456789abcdef" * (IN_MEMORY // 16 + 1)

    storage.save("long", ContentFile(content))

    assert _read(storage, "long") == content


def test_what_is_refused_while_it_comes_leaves_nothing(storage) -> None:
    with pytest.raises(ValueError, match="not CSV"):
        storage.save("rows", Refused())

    assert not storage.exists("rows")


def test_what_is_not_there_is_no_file_and_removing_it_no_error(storage) -> None:
    with pytest.raises(FileNotFoundError):
        storage.open("nothing")
    storage.delete("nothing")
    assert storage.listdir("nowhere") == ([], [])


def test_a_server_that_is_away_is_worth_trying_again(storage, monkeypatch) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
        away = ObjectStorage(bucket_name=s3_server.BUCKET, location="")

        for attempt in (
            lambda: away.open("a"),
            lambda: away.save("a", ContentFile(b"a")),
            lambda: away.exists("a"),
            lambda: away.listdir("a"),
        ):
            with pytest.raises(Unavailable, match="is away"):
                attempt()


def test_a_bucket_that_is_not_there_is_named(storage) -> None:
    with pytest.raises(Unavailable, match="gives NoSuchBucket"):
        ObjectStorage(bucket_name="another", location="").save("a", ContentFile(b"a"))
