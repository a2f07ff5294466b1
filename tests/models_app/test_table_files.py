"""Files that were made to do harm, and what is read of those that were not (H5)."""

from __future__ import annotations

import gzip
import io
import re
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from django.conf import LazySettings

from models_app import table_files
from models_app.addresses import SourceRefused

CSV = b"a,b\n1,x\n2,y\n"
LONG = "x" * 1_000_000


def parsed(content: bytes) -> pd.DataFrame:
    return table_files.parse(io.BytesIO(content))


def parquet(table: pa.Table, **options: object) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file, **options)
    return file.getvalue()


def zipped(content: bytes, name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def of_one_value(value: str, rows: int) -> pa.Table:
    places = pa.array(np.zeros(rows, dtype=np.int32))
    return pa.table({"a": pa.DictionaryArray.from_arrays(places, pa.array([value]))})


def in_parts(number: int) -> bytes:
    table, file = pa.table({"a": [1]}), io.BytesIO()
    with pyarrow.parquet.ParquetWriter(file, table.schema) as writer:
        for _ in range(number):
            writer.write_table(table)
    return file.getvalue()


ZEROS = bytes(30_000_000)
BOMBS = {
    "a gzip bomb": (lambda: gzip.compress(ZEROS), "is a gzip file"),
    "a zip bomb": (lambda: zipped(ZEROS, "t.csv"), "is a zip file"),
    "a zip in a zip": (lambda: zipped(zipped(ZEROS, "t.csv"), "t.zip"), "is a zip file"),
    "a million columns": (lambda: b"a," * 1_000_000 + b"b\n", "1000001 columns"),
    "a million cells in a row": (
        lambda: b"a,b\n" + b"1," * 1_000_000 + b"1\n", "1000001 columns",
    ),
    "a million cells below a quoted name": (
        lambda: b'"a\nb",c\n' + b"1," * 1_000_000 + b"1\n", "1000001 columns",
    ),
    "a name without end": (lambda: b"a" * 2_000_000, "first line"),
    "a cell without end": (lambda: b"a,b\n1," + b"x" * 20_000_000, "'b' has a cell of 20000000"),
    "a quoted cell without end": (
        lambda: b'a,b\n1,"' + b"x,\n" * 5_000_000 + b'"', "'b' has a cell of 15000000",
    ),
    "rows without end": (lambda: b"a\n" + b"1\n" * 10_000_001, "more than 10000000 rows"),
    "one text a million times": (lambda: parquet(of_one_value(LONG, 1_000_000)), "unpacks to"),
    "one text, its schema kept back": (
        lambda: parquet(of_one_value(LONG, 1_000_000), store_schema=False), "unpacks to",
    ),
    "texts that differ from the one before by nothing": (
        lambda: parquet(
            pa.table({"a": [LONG] * 100}), use_dictionary=False, store_schema=False,
            column_encoding={"a": "DELTA_BYTE_ARRAY"},
        ),
        "unpacks to",
    ),
    "one number nine million times": (
        lambda: parquet(pa.table({"a": np.ones(9_000_000), "b": np.ones(9_000_000)})), "unpacks to",
    ),
    "a cell in Parquet": (lambda: parquet(pa.table({"a": [LONG * 2]})), "'a' has a cell"),
    "rows in Parquet": (
        lambda: parquet(pa.table({"a": np.ones(10_000_001, dtype=np.int8)})), "10000000 rows",
    ),
    "columns in Parquet": (
        lambda: parquet(pa.table({f"c{n}": [1] for n in range(10_001)})), "10001 columns",
    ),
    "parts in Parquet": (lambda: in_parts(30_001), "more than 30000 parts"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "words"), BOMBS.values(), ids=BOMBS)
def test_what_would_grow_beyond_all_bounds_is_refused(
    make: object, words: str, settings: LazySettings
) -> None:
    settings.EVERLEARN_DATA_LIMIT = 16

    with pytest.raises(SourceRefused, match=words) as refusal:
        parsed(make())  # type: ignore[operator]

    assert refusal.value.code == "data_source_rejected"


# Of its own, as what a process freed before would be found again whatever the limit says.
WITHOUT_ROOM = """
import io, django
django.setup()
import psutil
from django.conf import settings
from models_app import table_files
from models_app.addresses import SourceRefused

content = b"a,b\\n1," + b"x" * 60_000_000
settings.EVERLEARN_RUN_MEMORY = psutil.Process().memory_info().data // 2**20 + 30
try:
    table_files.parse(io.BytesIO(content))
except SourceRefused as refusal:
    print(refusal)
print(table_files.parse(io.BytesIO(b"a,b\\n1,x\\n2,y\\n")).shape)
"""


def test_what_does_not_fit_into_memory_is_refused_and_others_fit_afterwards() -> None:
    told = subprocess.run(
        [sys.executable, "-c", WITHOUT_ROOM], capture_output=True, text=True, check=True
    ).stdout.splitlines()

    assert re.match(r"The data does not fit into \d+ MiB of memory", told[0])
    assert told[1] == "(2, 2)"


SOUND = pa.table({"a": [1, 2, 3], "s": ["x", "y", None], "c": pd.Categorical(["u", "v", "u"])})
DAMAGED = {
    "a footer longer than the file": parquet(SOUND)[:-8] + b"\xff\xff\xff\x7fPAR1",
    "a footer of a negative length": parquet(SOUND)[:-8] + b"\xff\xff\xff\xffPAR1",
    "no footer at all": b"PAR1" + bytes(200) + b"PAR1",
    "a page that was cut out": parquet(SOUND)[:20] + parquet(SOUND)[60:],
    "lists": parquet(pa.table({"a": [[1, 2], [3]]})),
    "a page that asks to log in": b"\n<!DOCTYPE html><html><form>",
    "more cells than names": b"a,b\n1,2,3\n4,5,6\n",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_what_is_no_table_is_refused_as_such(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parsed(content)


def test_no_flipped_bit_of_a_parquet_file_does_more_than_refuse_it() -> None:
    sound, chance = parquet(SOUND), np.random.default_rng(0)

    for _ in range(200):
        content = bytearray(sound)
        content[chance.integers(4, len(sound) - 8)] ^= 1 << int(chance.integers(8))
        try:
            parsed(bytes(content))
        except (ValueError, SourceRefused):
            continue


def test_parquet_is_known_by_what_it_holds_and_read_whatever_its_encoding() -> None:
    texts = pa.table({"a": [f"p{n}" for n in range(100)]})
    delta = {"use_dictionary": False, "column_encoding": {"a": "DELTA_BYTE_ARRAY"}}

    assert parsed(parquet(SOUND))["s"].tolist()[:2] == ["x", "y"]
    assert parsed(parquet(texts, **delta))["a"].tolist() == texts["a"].to_pylist()


def test_a_wide_table_and_a_trailing_comma_are_no_harm() -> None:
    names = ",".join(f"c{n}" for n in range(5000)).encode()

    assert parsed(names + b"\n" + b",".join([b"1"] * 5000)).shape == (1, 5000)
    assert parsed(b"a,b\n1,2,\n3,4,\n").to_dict("list") == {"a": [1, 3], "b": [2, 4]}
