"""Whatever file trains a model can be predicted as it is, with the answers that JSON gets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from rest_framework.test import APIClient

from models_app import datasets
from models_app.learning import tables
from models_app.models import ModelVersion, Prediction
from tests.feedback_app.batching import result, send, shown, submitted, work
from tests.feedback_app.learnt import learnt

pytestmark = pytest.mark.django_db

ClientWith = Callable[..., APIClient]
N = 40


class Case(NamedTuple):
    """A file that trains: its content, target, what is declared beside, how its cells stand."""

    content: bytes
    target: str = "y"
    more: str = ""
    separator: str = ","


def text(header: str, *lines: str, end: str = "\n") -> str:
    return "".join(f"{line}{end}" for line in (header, *lines))


def of(header: str, line: Callable[[int], str], *, encoding: str = "utf-8", **how: Any) -> Case:
    lines = [line(n) for n in range(N)]
    return Case(text(header, *lines).encode(encoding), **how)


def y(n: int) -> str:
    return "ab"[n % 2]


def number(n: int) -> str:
    return "n/a" if n % 5 == 0 else str(n % 7)


def day(n: int) -> str:
    return "NULL" if n % 4 == 0 else f"2024-05-{n % 28 + 1:02}"


def yes(n: int) -> str:
    return "?" if n % 3 == 0 else ("true", "False")[n % 2]


TOWNS = ("Köln", "Bonn")
CODE = '[models.leaves.features.code]\nkind = "category"\n'
CP1252 = '[models.leaves.reading]\nencoding = "cp1252"\n'
CASES = {
    "codes with leading zeros": of(
        "code,n,y", lambda n: f"{('02116', '10001')[n % 2]},{n % 7},{y(n)}", more=CODE
    ),
    "codes of many digits": of(
        "code,n,y", lambda n: f"9007199254740993{n % 2},{n % 7},{y(n)}", more=CODE
    ),
    "categories that look like truths and fractions": of(
        "code,n,y", lambda n: f"{('True', '1.0')[n % 2]},{n % 7},{y(n)}", more=CODE
    ),
    "words for what is missing": of(
        "n,day,yes,y", lambda n: f"{number(n)},{day(n)},{yes(n)},{y(n)}"
    ),
    "a category called NA": of("code,n,y", lambda n: f"{('NA', 'none')[n % 2]},{n % 7},{y(n)}"),
    "declared words for what is missing": of(
        "n,y", lambda n: f"{'k.A.' if n % 5 == 0 else n % 7 * (1, 3)[n % 2]},{y(n)}",
        more='[models.leaves.reading]\nmissing = ["k.A."]\n',
    ),
    "blanks after separators": of(
        "n, code, y", lambda n: f'{n % 7}, {("clerk", "cook")[n % 2]}, "{y(n)}"'
    ),
    "blanks around": of("n ,code,y", lambda n: f" {n % 7} ,{('clerk ', ' cook')[n % 2]}, {y(n)}"),
    "a separator at the end of all lines": of("n,y,", lambda n: f"{n % 7 + n % 2},{y(n)},"),
    "semicolons": of("n;m;y", lambda n: f"{n % 7},5;{n % 2};{y(n)}", separator=";"),
    "tabs": of("n\tm\ty", lambda n: f"{n % 7}.5\t{n % 2}\t{y(n)}", separator="\t"),
    "bars": of("n|m|y", lambda n: f"{n % 7}.5|{n % 2}|{y(n)}", separator="|"),
    "quoted decimal commas": of("n,y", lambda n: f'"-{n % 7},{n % 2}5",{y(n)}'),
    "thousands": of("n,m,y", lambda n: f'"{n % 7 + 1},{n % 2}00","$ {n}.50",{y(n)}'),
    "per cent": of("n,y", lambda n: f"{n % 7 + 9 * (n % 2)} %,{y(n)}"),
    "days before months": of("day,n,y", lambda n: f"{n % 28 + 1:02}/0{n % 2 + 5}/2024,{n},{y(n)}"),
    "days with times": of("day,n,y", lambda n: f"{n % 28 + 1}.5.2024 1{n % 2}:30,{n},{y(n)}"),
    "cp1252": of(
        "größe,n,y", lambda n: f"{TOWNS[n % 2]},{n},{y(n)}", encoding="cp1252", more=CP1252
    ),
    "UTF-16": of(
        "größe,n,y", lambda n: f"{TOWNS[n % 2]},{n},{y(n)}", encoding="utf-16",
        more='[models.leaves.reading]\nencoding = "utf-16"\n',
    ),
    "a spreadsheet's": Case(
        ("\ufeff" + text('note,"size, cm",y', *[
            f'"line one\r\nsaid ""{y(n)}""",{n % 7 + n % 2}.97,{y(n)}' for n in range(N)
        ], end="\r\n")).encode()
    ),
    "a nameless counter": of(",n,y", lambda n: f"{n},{n % 7 + n % 2},{y(n)}"),
    "a named counter of pandas": of("Unnamed: 0,n,y", lambda n: f"{n},{n % 7 + n % 2},{y(n)}"),
    "an empty column": of("n,note,y", lambda n: f"{n % 7 + n % 2},,{y(n)}"),
    "a column to ignore": of(
        "id,n,y", lambda n: f"c-{n},{n % 7 + n % 2},{y(n)}", more='ignore = ["id"]\n'
    ),
    "empty lines": of("n,y", lambda n: f"{n % 7 + n % 2},{y(n)}" + ("\n\n  " if n == 3 else "")),
    "a regression": of("n,m,y", lambda n: f"{n % 7},{n},{n}.25"),
    "a name of answers": of("value,error,y", lambda n: f"{n % 7 + n % 2},{n % 3},{y(n)}"),
}  # fmt: skip


def answers_of(client: APIClient, case: Case, content: bytes | None = None) -> list[dict[str, str]]:
    job = submitted(client, case.content if content is None else content)
    work(job)
    assert shown(client, job)["status"] == "succeeded"
    told = io.StringIO(result(client, job), newline="")
    return list(csv.DictReader(told, delimiter=case.separator))


def logged(answers: list[dict[str, str]]) -> list[Any]:
    rows = Prediction.objects.in_bulk([answer["prediction_id"] for answer in answers])
    found = {str(pk): row for pk, row in rows.items()}
    return [found[answer["prediction_id"]] for answer in answers]


def asked_as_json(client: APIClient, instances: list[Any]) -> list[Any]:
    response = client.post("/api/models/leaves/predict/", {"instances": instances}, format="json")
    assert response.status_code == 200, response.content
    return response.json()["predictions"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", CASES)
def test_a_file_that_trained_is_answered_as_its_rows_are_in_json(
    name: str, tmp_path: Path, client_with: ClientWith
) -> None:
    case, client = CASES[name], client_with("predict")
    version = learnt(tmp_path, case.content, case.target, case.more)

    answers = answers_of(client, case)

    assert [answer["error"] + answer["warnings"] for answer in answers] == [""] * N
    typed = _typed(version)
    assert [row.input for row in logged(answers)] == typed
    for answer, asked in zip(answers, asked_as_json(client, typed), strict=True):
        assert answer["value"] == str(asked["value"])
        for one, likely in asked.get("probabilities", {}).items():
            assert float(answer[f"probability_{one}"]) == pytest.approx(likely)


def _typed(version: ModelVersion) -> list[Any]:
    model = version.registered_model
    rows, _ = datasets.read_for(model)
    return tables.instances_of(rows, model.schema)


@pytest.mark.parametrize("name", CASES)
def test_the_cells_of_a_file_come_back_before_its_answers(
    name: str, tmp_path: Path, client_with: ClientWith
) -> None:
    case, client = CASES[name], client_with("predict")
    learnt(tmp_path, case.content, case.target, case.more)

    job = submitted(client, case.content)
    work(job)

    encoding = "cp1252" if name == "cp1252" else "utf-16" if name == "UTF-16" else "utf-8-sig"
    sent = _cells(case.content.decode(encoding), case.separator)
    width = len(sent[0])
    told = _cells(result(client, job), case.separator)
    names = ["input_value", "input_error", "y"] if name == "a name of answers" else sent[0]
    assert [line[:width] for line in told] == [names, *(line[:width] for line in sent[1:])]
    assert told[0][width : width + 2] == ["prediction_id", "value"]
    assert told[0][-2:] == ["error", "warnings"]


def _cells(content: str, separator: str) -> list[list[str]]:
    blanks = f"{separator} " in content.partition("\n")[0]
    lines = csv.reader(
        io.StringIO(content, newline=""), delimiter=separator, skipinitialspace=blanks
    )
    header, *rows = [line for line in lines if "".join(line).strip()]
    return [[name.strip() for name in header], *rows]


BRANCHES = of(
    "age,branch,amount,y",
    lambda n: f"{20 + n % 9},{n % 3 + 1},{n % 3 * 4}.5,{'no' if n % 3 == 0 else 'yes'}",
    more='[models.leaves.features.branch]\nkind = "category"\n'
    "[models.leaves.features.age]\nrequired = false\n",
)


@pytest.mark.parametrize(
    ("sent", "typed"),
    [
        ("age,branch,amount\nNA,2,5.02\n", {"branch": "2", "amount": 5.02}),
        ("age,branch,amount\n#N/A,2,5.02\n", {"branch": "2", "amount": 5.02}),
        ("branch,amount\n2,5.02\n", {"branch": "2", "amount": 5.02}),
        ("amount,branch,age\n5.02,2\n", {"branch": "2", "amount": 5.02}),
        ("age, branch, amount\n 30 , 2 , 5.02 \n", {"age": 30, "branch": "2", "amount": 5.02}),
        ("age,branch,amount\n30,2,5.02,\n", {"age": 30, "branch": "2", "amount": 5.02}),
        ("age,branch,amount\n30,2.0,5.02\n", {"age": 30, "branch": "2", "amount": 5.02}),
        ("who,age,branch,amount\nAda,30,2,5.02\n", {"age": 30, "branch": "2", "amount": 5.02}),
        ("age,branch,amount,y\n30,2,5.02,no\n", {"age": 30, "branch": "2", "amount": 5.02}),
        (",age,branch,amount\n0,30,2,5.02\n", {"age": 30, "branch": "2", "amount": 5.02}),
        ("\n\nage,branch,amount\n\n30,2,5.02\n \n", {"age": 30, "branch": "2", "amount": 5.02}),
        ("age;branch;amount\n30;2;5.02\n", {"age": 30, "branch": "2", "amount": 5.02}),
        ("age\tbranch\tamount\r\n30\t2\t5.02", {"age": 30, "branch": "2", "amount": 5.02}),
        ("age,branch,ammount,amount\n30,2,1,5.02\n", {"age": 30, "branch": "2", "amount": 5.02}),
    ],
)
def test_a_row_that_is_written_otherwise_is_answered_alike(
    sent: str, typed: dict[str, Any], tmp_path: Path, client_with: ClientWith
) -> None:
    client = client_with("predict")
    learnt(tmp_path, BRANCHES.content, "y", BRANCHES.more)
    separator = next(one for one in ";\t," if one in sent)

    (answer,) = answers_of(client, BRANCHES._replace(separator=separator), sent.encode())

    assert (answer["error"], answer["warnings"]) == ("", "")
    assert logged([answer])[0].input == typed
    (asked,) = asked_as_json(client, [typed])
    assert answer["value"] == asked["value"]
    assert float(answer["probability_yes"]) == pytest.approx(asked["probabilities"]["yes"])


def test_each_format_tells_of_an_unseen_category(tmp_path: Path, client_with: ClientWith) -> None:
    client = client_with("predict")
    learnt(tmp_path, BRANCHES.content, "y", BRANCHES.more)

    told = answers_of(client, BRANCHES, b"age,branch,amount\n30,2,1\n30,02,1\n30,9,1\n")
    job = submitted(client, '{"branch": "9", "amount": 1}', "application/x-ndjson")
    work(job)

    assert [answer["warnings"] for answer in told] == [
        "", "unseen_category:branch", "unseen_category:branch",
    ]  # fmt: skip
    line = json.loads(result(client, job))
    assert line["warnings"] == [{"code": "unseen_category", "attr": "branch"}]


@pytest.mark.parametrize(
    ("cell", "column", "told"),
    [
        ("old,2,1", "age", "age: A number is expected, not 'old'."),
        ("30,2,1 000", "amount", "amount: A number is expected, not '1 000'."),
        ("1e999,2,1", "age", "age: A finite number between -1e30 and 1e30 is expected."),
        ("30,2,n/a", "amount", "amount: This feature is required."),
        ("30,,1", "branch", "branch: This feature is required."),
        ("30,2,1,x", "", "The row has 4 cells, the header has 3."),
    ],
)
def test_a_row_that_cannot_be_read_says_why_and_keeps_its_cells(
    cell: str, column: str, told: str, tmp_path: Path, client_with: ClientWith
) -> None:
    client = client_with("predict")
    learnt(tmp_path, BRANCHES.content, "y", BRANCHES.more)
    content = f"age,branch,amount\n{cell}\n30,2,1\n".encode()

    wrong, right = answers_of(client, BRANCHES, content)

    assert wrong["error"] == told
    assert [wrong["age"], wrong["branch"], wrong["amount"]] == cell.split(",")[:3]
    assert (right["error"], wrong["prediction_id"]) == ("", "")


def test_a_date_that_is_none_is_told_with_an_example_of_the_files_own(
    tmp_path: Path, client_with: ClientWith
) -> None:
    case, client = CASES["days before months"], client_with("predict")
    learnt(tmp_path, case.content, "y")

    wrong, iso, own = answers_of(client, case, b"day,n\n05/31/2024,1\n2024-05-31,1\n31/05/2024,1\n")

    assert "not '05/31/2024'" in wrong["error"]
    assert "31/05/2024" in wrong["error"]
    assert [row.input["day"] for row in logged([iso, own])] == ["2024-05-31"] * 2


def test_text_in_no_encoding_that_is_known_is_refused_with_its_line(
    tmp_path: Path, client_with: ClientWith
) -> None:
    client = client_with("predict")
    learnt(tmp_path, CASES["cp1252"].content, "y", CP1252)

    assert send(client, "größe,n\nKöln,1\n").status_code == 202
    response = send(client, "größe,n\nKöln,1\n".encode() + b"K\xf6ln,2\n")

    (error,) = response.json()["errors"]
    assert (response.status_code, error["code"]) == (400, "invalid_utf8")
    assert "line 3 has the byte 0xf6; save the file as UTF-8" in error["detail"]
