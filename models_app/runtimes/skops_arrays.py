"""Read the members of a skops file (a zip) without trusting a number in it.

Everything is refused that skops never writes: compressed, doubled, encrypted or unused
members, arrays of Python objects, arrays whose length is not that of their data.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from scipy import sparse

from models_app.runtimes.refusing import expect, refuse

SCHEMA = "schema.json"
MOST_BYTES = 2 << 30
MOST_SCHEMA_BYTES = 256 << 20
MOST_SPARSE_BYTES = 256 << 20
MOST_MEMBERS = 200_000
_MAGIC = b"\x93NUMPY"
_PLAIN_KINDS = "biufUSV"
_MOST_DIMENSIONS = 4
_LONGEST_ITEM = 4 * 10_000
_SPARSE_MEMBERS = {f"{name}.npy" for name in ("indices", "indptr", "format", "shape", "data")}


class Archive:
    """The members of a skops file."""

    def __init__(self, file: bytes) -> None:
        expect(len(file) <= MOST_BYTES, "its skops file is larger than 2 GiB")
        self._zip = _opened(file)
        stored = all(one.compress_type == zipfile.ZIP_STORED for one in self._zip.infolist())
        expect(stored, "its skops file has a compressed member, which skops never writes")
        expect(_unpacked(self._zip) <= len(file), "its members are larger than its skops file")
        self._names = set(self._zip.namelist())
        self._used = {SCHEMA}

    def schema(self) -> bytes:
        """The text that says what the file holds."""
        expect(SCHEMA in self._names, "its skops file has no schema.json")
        size = self._zip.getinfo(SCHEMA).file_size
        expect(size <= MOST_SCHEMA_BYTES, "the schema of its skops file is larger than 256 MiB")
        return _read(self._zip, SCHEMA)

    def array(self, name: object) -> NDArray[Any]:
        """The array in a member; refused unless it is plain and whole."""
        return plain_array(self._member(name), str(name))

    def sparse(self, name: object) -> Any:
        """The sparse matrix in a member; refused unless each index is within its shape."""
        with _opened(self._member(name)) as inner:
            names = set(inner.namelist()) - {"_is_array.npy"}
            expect(names == _SPARSE_MEMBERS, f"{name} is no sparse matrix")
            expect(_unpacked(inner) <= MOST_SPARSE_BYTES, f"{name} is larger than 256 MiB")
            parts = {one: plain_array(_read(inner, one), one) for one in inner.namelist()}
        try:
            return _matrix(parts)
        except (KeyError, ValueError, TypeError, IndexError) as error:
            refuse(f"the sparse matrix {name} is damaged: {error}")

    def refuse_unused(self) -> None:
        """Refuse the file unless every member was asked for."""
        unused = sorted(self._names - self._used)
        expect(not unused, f"its skops file has members that it does not name: {unused[:3]}")

    def _member(self, name: object) -> bytes:
        expect(isinstance(name, str) and name in self._names, f"there is no member {name!r:.60}")
        self._used.add(str(name))
        return _read(self._zip, str(name))


def plain_array(content: bytes, name: str) -> NDArray[Any]:
    """The array in the bytes of a .npy file, read only.

    Refused: objects, which would be pickles; a shape that is not that of the data.
    """
    expect(content[:6] == _MAGIC, f"{name} is no array")
    file = io.BytesIO(content)
    try:
        version = npy.read_magic(file)
        readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        shape, in_columns, dtype = readers[version](file)
    except (KeyError, ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        refuse(f"the head of array {name} makes no sense: {error!r:.100}")
    plain = dtype.kind in _PLAIN_KINDS and not dtype.hasobject and dtype.subdtype is None
    expect(plain and 0 < dtype.itemsize <= _LONGEST_ITEM, f"array {name} is of {dtype!s:.60}")
    fits = len(shape) <= _MOST_DIMENSIONS and all(0 <= size <= MOST_BYTES for size in shape)
    begin, size = file.tell(), math.prod(shape)
    whole = fits and size * dtype.itemsize == len(content) - begin
    expect(whole, f"array {name} has another length than its shape")
    flat = np.frombuffer(content, dtype, count=size, offset=begin)
    return flat.reshape(shape, order="F" if in_columns else "C")


def _matrix(parts: dict[str, NDArray[Any]]) -> Any:
    layout = bytes(parts["format.npy"].item()).decode()
    expect(layout in ("csr", "csc"), f"a sparse matrix is of the layout {layout!r:.20}")
    rows, columns = (int(size) for size in parts["shape.npy"])
    made = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix}[layout](
        (parts["data.npy"], parts["indices.npy"], parts["indptr.npy"]), shape=(rows, columns)
    )
    made.check_format(full_check=True)
    return made


def _opened(file: bytes) -> zipfile.ZipFile:
    try:
        opened = zipfile.ZipFile(io.BytesIO(file))
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        refuse(f"a file of it is no zip: {error}")
    names = opened.namelist()
    expect(len(names) <= MOST_MEMBERS, f"a zip of it has over {MOST_MEMBERS:,} members")
    expect(len(set(names)) == len(names), "a zip of it has two members of one name")
    return opened


def _unpacked(opened: zipfile.ZipFile) -> int:
    return sum(one.file_size for one in opened.infolist())


def _read(opened: zipfile.ZipFile, name: str) -> bytes:
    try:
        return opened.read(name)
    except (
        zipfile.BadZipFile,
        RuntimeError,
        NotImplementedError,
        EOFError,
        OSError,
        zlib.error,
    ) as error:
        refuse(f"the member {name!r:.60} cannot be read: {error}")
