from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from models_app.atomic_storage import AtomicFileSystemStorage, store


class Fatal(ContentFile[bytes]):
    """Content whose reader is killed when half of it is written."""

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        yield b"half"
        os.kill(os.getpid(), signal.SIGKILL)
        yield b"the rest"


def test_a_file_whose_writer_was_killed_never_has_its_name(tmp_path: Path) -> None:
    storage = AtomicFileSystemStorage(location=tmp_path)
    writer = os.fork()
    if writer == 0:
        storage.save("bundles/model.onnx", Fatal(b"half and the rest"))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(writer, 0)[1]) == -signal.SIGKILL

    assert [path.suffix for path in (tmp_path / "bundles").iterdir()] == [".partial"]
    assert not storage.exists("bundles/model.onnx")
    assert storage.save("bundles/model.onnx", ContentFile(b"whole")) == "bundles/model.onnx"
    assert (tmp_path / "bundles/model.onnx").read_bytes() == b"whole"


@pytest.mark.parametrize("before", [None, b"", b"damaged", b"whole"])
def test_storing_heals_what_was_damaged(before: bytes | None) -> None:
    if before is not None:
        default_storage.save("healing", ContentFile(before))

    store("healing", b"whole")

    with default_storage.open("healing") as file:
        assert file.read() == b"whole"
    default_storage.delete("healing")


def test_the_installations_files_are_stored_so() -> None:
    assert isinstance(default_storage, AtomicFileSystemStorage)
