from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from django.conf import LazySettings

from models_app import datasets
from models_app.datasets import DataRefused


def test_csv_and_parquet_give_the_same_rows(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.5, 2.5], "b": ["x", "y"]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")

    read = [datasets.read_table(str(tmp_path / name)) for name in ("t.csv", "t.parquet")]

    assert read[0].to_dict() == read[1].to_dict() == frame.to_dict()


def test_only_empty_cells_are_missing_among_words(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("country,n\nNA,1\nnull,2\n,3\n")

    countries = datasets.read_table(str(tmp_path / "t.csv"))["country"]

    assert countries.tolist()[:2] == ["NA", "null"]
    assert countries.isna().tolist() == [False, False, True]


def test_a_word_for_missing_among_numbers_is_a_missing_number(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("n,m\n1,x\nNA,y\n2.5,z\n")

    numbers = datasets.read_table(str(tmp_path / "t.csv"))["n"]

    assert numbers.dtype == float
    assert numbers.isna().tolist() == [False, True, False]


def test_true_and_false_beside_empty_cells_are_no_numbers(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("yes,n\nTrue,1\n,2\nFalse,3\n")

    assert datasets.read_table(str(tmp_path / "t.csv"))["yes"].tolist()[::2] == [True, False]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        (b"", "not a readable table"),
        (b"a,b\n", "no rows"),
        (b"a,b\n1,2\n1,2,3,4\n", "not a readable table"),
        (b"a\n\xff\xfe\n", "not a readable table"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "t.csv").write_bytes(content)

    with pytest.raises(DataRefused, match=words) as refusal:
        datasets.read_table(str(tmp_path / "t.csv"))

    assert "\n" not in str(refusal.value)


def test_the_place_may_come_from_a_setting(tmp_path: Path, settings: LazySettings) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n")
    settings.DATA_URL = str(tmp_path / "t.csv")

    assert len(datasets.read_table("env:DATA_URL")) == 1


def test_a_setting_that_is_not_set_is_named() -> None:
    with pytest.raises(DataRefused, match="DATA_URL is not set"):
        datasets.read_table("env:DATA_URL")
