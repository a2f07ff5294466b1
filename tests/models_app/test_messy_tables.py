"""Tables as Excel, warehouses and accounting systems write them, through a declaration."""

from __future__ import annotations

import json
from decimal import Decimal
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from django.core.management import call_command

from models_app import applying, datasets, declaration
from models_app.actors import system_user
from models_app.applying import PlanRefused
from models_app.models import RegisteredModel

pytestmark = pytest.mark.django_db


def declare(folder: Path, content: bytes | str, target: str = "y", more: str = "") -> None:
    """Apply a model `m` whose data is the content."""
    name = "t.parquet" if isinstance(content, bytes) and content[:4] == b"PAR1" else "t.csv"
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    path = folder / "models.toml"
    path.write_text(f'[models.m]\ndata = "{name}"\ntarget = "{target}"\n{more}')
    changes = applying.plan(declaration.read(path), path)
    applying.apply(changes, actor=system_user("cli"))


def kinds() -> dict[str, str]:
    features = RegisteredModel.objects.get().features
    return {one["name"]: "ignored" if one.get("ignored") else one["kind"] for one in features}


def rows() -> pd.DataFrame:
    return datasets.read_for(RegisteredModel.objects.get())[0]


def column(name: str) -> dict[str, Any]:
    columns = RegisteredModel.objects.get().profile["columns"]
    return next(one for one in columns if one["name"] == name)


def csv(*lines: str) -> str:
    return "\n".join(lines) + "\n"


def parquet(**columns: Any) -> bytes:
    file = BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), file)
    return file.getvalue()


def test_text_keeps_its_spelling_where_that_is_its_identity(tmp_path: Path) -> None:
    codes = ["02116", "10001", "1e5", "1.0", "True", "90071992547409931", "0"]
    content = csv("code,n,y", *(f"{code},{n},0{n % 2}" for n, code in enumerate(codes * 3)))

    declare(tmp_path, content, more='[models.m.features.code]\nkind = "category"\n')

    assert rows()["code"].unique().tolist() == codes
    assert rows()["y"].unique().tolist() == ["00", "01"]


def test_a_kind_follows_from_all_cells_however_far_down_they_stand(tmp_path: Path) -> None:
    narrow = [f"{n},{n},{n % 2}" for n in range(120_000)]
    narrow[-1] = "A7,NA,1"
    narrow[0] = "007,1,0"

    declare(tmp_path, csv("code,n,y", *narrow))

    assert kinds() == {"code": "text", "n": "number"}
    assert rows()["code"].iloc[[0, -1]].tolist() == ["007", "A7"]


def test_a_question_stops_and_names_line_cell_count_and_ways_out(tmp_path: Path) -> None:
    lines = [f'"note\n{n}",{n},{n % 2}' for n in range(40)]
    lines[20] = '"a\nb",abc,1'

    with pytest.raises(PlanRefused) as asked:
        declare(tmp_path, csv("note,n,y", *lines))

    told = str(asked.value)
    assert "[models.m]: column 'n', line 42: 39 of 40 cells are numbers and 'abc' is none" in told
    assert 'missing = ["abc"]' in told
    assert 'kind = "category"' in told
    assert not RegisteredModel.objects.exists()

    declare(
        tmp_path,
        csv("note,n,y", *lines),
        more='[models.m.features.n]\nmissing = ["abc"]\n',
    )
    assert kinds()["n"] == "number"
    assert rows()["n"].isna().sum() == 1


def test_every_question_is_asked_at_once(tmp_path: Path) -> None:
    days = [f"0{n % 9 + 1}/0{n % 8 + 1}/2024,{n},{n % 2}" for n in range(40)]
    days[3] = "01/02/2024,abc,1"

    with pytest.raises(PlanRefused) as asked:
        declare(tmp_path, csv("day,n,y", *days))

    assert [line.split("column ")[1][:5] for line in str(asked.value).splitlines()] == [
        "'day'",
        "'n', ",
    ]


def test_rows_that_end_with_a_separator_are_read(tmp_path: Path) -> None:
    with pytest.raises(PlanRefused, match="line 12 has 4 cells, line 1 has 3"):
        declare(tmp_path, csv("a,b,y", *(f"{n},b,1,{'x' * (n == 10)}" for n in range(30))))

    declare(tmp_path, csv("a,b,y", *(f"{n},b{n % 3},{n % 2}," for n in range(30))))

    assert kinds() == {"a": "number", "b": "category"}
    assert rows()["y"].tolist()[:3] == ["0", "1", "0"]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators_are_read(tmp_path: Path, separator: str) -> None:
    content = csv("size,weight,y", *(f"5.{n},{n},{n % 2}" for n in range(30))).replace(
        ",", separator
    )

    declare(tmp_path, content)

    assert RegisteredModel.objects.get().reading["separator"] == separator
    assert kinds() == {"size": "number", "weight": "number"}


def test_what_a_file_does_not_show_may_be_declared(tmp_path: Path) -> None:
    content = csv("größe;art;y", *(f"1.{n:03};köl;{n % 2}" for n in range(100, 130)), "k.A.;;1")

    declare(
        tmp_path,
        content.encode("cp1252"),
        more=(
            '[models.m.reading]\nencoding = "cp1252"\nseparator = ";"\ndecimal = ","\n'
            'missing = ["k.A."]\n[models.m.features.art]\nkind = "category"\n'
        ),
    )

    assert rows()["größe"].iloc[0] == 1100
    assert rows()["größe"].isna().sum() == 1
    assert rows()["art"].iloc[0] == "köl"


def test_a_number_that_stands_for_a_missing_value_stands_for_no_other_number(
    tmp_path: Path,
) -> None:
    content = csv("n,m,y", "-999,0,a", *(f"{n},{n * 7},{'ab'[n % 2]}" for n in range(1, 6001)))

    declare(tmp_path, content, more='[models.m.reading]\nmissing = ["-999", "0"]\n')

    assert kinds() == {"n": "number", "m": "number"}
    assert rows()["n"].isna().sum() == 1
    assert column("n")["assumptions"] == ["'-999' (1 cell) read as missing"]


def test_blanks_are_no_part_of_names_categories_and_classes(tmp_path: Path) -> None:
    content = csv(
        "age, job, y", *(f"{n}, {'cook' if n % 2 else 'clerk'}, >{n % 2}" for n in range(30))
    )

    declare(tmp_path, content)

    assert kinds() == {"age": "number", "job": "category"}
    assert set(rows()["job"]) == {"cook", "clerk"}
    assert set(rows()["y"]) == {">0", ">1"}


def test_rows_without_a_target_decide_nothing(tmp_path: Path) -> None:
    content = csv(
        "size,weight,y", *(f"5.{n},{n},{n % 2}" for n in range(30)), "Total,3000,", ",,", ",,"
    )

    declare(tmp_path, content)

    features = RegisteredModel.objects.get().features
    assert [(one["kind"], one["required"]) for one in features] == [("number", True)] * 2
    assert len(rows()) == 30
    assert RegisteredModel.objects.get().profile["unusable"] == 3


def test_columns_that_are_no_features_are_left_out_and_named(tmp_path: Path) -> None:
    content = csv(",a,empty,id,y", *(f"{n},{n * 7 % 5},,k{n},{n % 2}" for n in range(30)))

    declare(tmp_path, content, more='ignore = ["id"]\n')

    ignored = ["Unnamed: 0", "empty", "id"]
    assert {name: kinds()[name] for name in ignored} == dict.fromkeys(ignored, "ignored")
    assert column("Unnamed: 0")["left_out"] == "has no name and counts the rows"
    assert column("empty")["left_out"] == "empty"
    assert column("id")["left_out"] == "named in ignore"
    assert RegisteredModel.objects.get().schema.names == ("a",)


def test_a_column_without_a_name_that_counts_nothing_is_refused(tmp_path: Path) -> None:
    content = csv("a,,y", *(f"{n},{n * 7 % 5},{n % 2}" for n in range(30)))

    with pytest.raises(PlanRefused, match="column 2 has values and no name"):
        declare(tmp_path, content)


@pytest.mark.parametrize("line", ["ignore = ['nope']", "[models.m.features.nope]\nkind = 'text'"])
def test_a_declared_column_that_is_not_there_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(PlanRefused, match="'nope'"):
        declare(tmp_path, csv("a,y", *(f"{n},{n % 2}" for n in range(30))), more=line + "\n")


def test_odd_columns_are_warned_of(tmp_path: Path) -> None:
    content = csv(
        "id,number,constant,leak,a,y",
        *(f"k{n:03}x,{n + 1},same,{'ab'[n % 2]},{n * 7 % 5},{n % 2}" for n in range(30)),
    )

    declare(tmp_path, content)

    assert "different in every row" in column("id")["warnings"][0]
    assert "counts the rows" in column("number")["warnings"][0]
    assert "same value in every row" in column("constant")["warnings"][0]
    assert "goes with one class of 'y' only" in column("leak")["warnings"][0]
    assert column("a")["warnings"] == []


def test_what_tells_a_number_to_predict_is_warned_of(tmp_path: Path) -> None:
    content = csv("copy,a,y", *(f"{n * 3},{n * 7 % 5},{n * n}.5" for n in range(30)))

    declare(tmp_path, content)

    assert "same order as 'y'" in column("copy")["warnings"][0]


def test_parquet_values_are_read_by_their_meaning(tmp_path: Path) -> None:
    n = range(30)
    content = parquet(
        price=[Decimal(f"{i}.25") for i in n],
        text=[f"t{i % 3}".encode() for i in n],
        number=[f"{i},5" for i in n],
        day=[f"{i % 28 + 1}/01/2024" for i in n],
        big=[90071992547409931 + i % 3 for i in n],
        y=[Decimal(f"{i}.5") for i in n],
    )

    declare(tmp_path, content)

    assert kinds() == {
        "price": "number",
        "text": "category",
        "number": "number",
        "day": "datetime",
        "big": "category",
    }
    assert RegisteredModel.objects.get().task == "regression"
    assert rows()["price"].iloc[1] == 1.25
    assert set(rows()["text"]) == {"t0", "t1", "t2"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (pa.array([1, 2, 3] * 10, pa.duration("s")), "column 'x' holds durations"),
        (pa.array([b"\xff\xfe"] * 30), "bytes that are no UTF-8 text"),
        (pa.array([1, 2, 3] * 10, pa.time32("s")), "column 'x' holds time"),
    ],
)
def test_parquet_values_without_a_meaning_here_are_refused_by_name(
    tmp_path: Path, values: Any, words: str
) -> None:
    with pytest.raises(PlanRefused, match=words):
        declare(tmp_path, parquet(x=values, y=["a", "b", "c"] * 10))


def test_the_plan_shows_columns_kinds_examples_assumptions_and_warnings(tmp_path: Path) -> None:
    lines = [f'"{n},{n}",{n % 28 + 1}/01/2024,k{n},{n % 2}' for n in range(30)]
    declare(tmp_path, csv("size,day,id,y", *lines, "#N/A,,k30,1"))
    said = StringIO()

    with pytest.raises(SystemExit):
        call_command("apply", str(tmp_path / "models.toml"), "--plan", stdout=said)

    told = " ".join(said.getvalue().split())
    for part in ("31 rows", "'10,10' is read as 10.1", "2024-01-01", "'#N/A' (1 cell) read as"):
        assert part in told
    assert "different in every row" in told


def earlier(tmp_path: Path) -> RegisteredModel:
    """A model as a release before this declared it, with a column that is read otherwise now."""
    content = csv("zip,size,y", *(f'0{n % 3 + 1}116,"{n},5",{n % 2}' for n in range(30)))
    declare(tmp_path, content)
    model = RegisteredModel.objects.get()
    model.reading, model.profile = {}, {}
    model.features = [
        {"name": "zip", "kind": "number", "required": True},
        {"name": "size", "kind": "text", "required": True},
    ]
    model.save()
    return model


def plan(tmp_path: Path, *, reread: bool = False) -> list[applying.Change]:
    path = tmp_path / "models.toml"
    return applying.plan(declaration.read(path), path, reread=reread)


def test_a_model_of_an_earlier_release_stays_as_it_is_until_it_is_told(tmp_path: Path) -> None:
    model = earlier(tmp_path)

    assert plan(tmp_path) == []
    assert datasets.read_for(model)[0]["zip"].iloc[0] == 1116

    applying.apply(plan(tmp_path, reread=True), actor=system_user("cli"))

    assert kinds() == {"zip": "category", "size": "number"}
    assert rows()["zip"].iloc[0] == "01116"
    assert plan(tmp_path) == []


def test_the_plan_of_an_earlier_model_shows_what_reading_anew_would_change(tmp_path: Path) -> None:
    earlier(tmp_path)
    said = StringIO()

    with pytest.raises(SystemExit):
        call_command("apply", str(tmp_path / "models.toml"), "--plan", stdout=said)

    told = said.getvalue()
    assert "`apply --reread` would read its data anew" in told
    assert "feature 'zip': number -> category" in told
    assert "feature 'size': text -> number" in told


def test_a_declaration_that_says_how_to_read_ends_the_earlier_way(tmp_path: Path) -> None:
    earlier(tmp_path)
    path = tmp_path / "models.toml"
    path.write_text(path.read_text() + "ignore = ['size']\n")

    applying.apply(plan(tmp_path), actor=system_user("cli"))

    assert kinds() == {"zip": "category", "size": "ignored"}


def test_the_way_in_which_data_is_read_is_kept_as_json(tmp_path: Path) -> None:
    declare(tmp_path, csv("a,y", *(f"{n},{n % 2}" for n in range(30)), "3,NA"))

    assert json.loads(json.dumps(RegisteredModel.objects.get().reading)) == {
        "separator": ",",
        "encoding": "utf-8",
        "target": {"kind": "category", "reading": {"missing": ["NA"]}},
    }
    assert set(rows()["y"]) == {"0", "1"}
