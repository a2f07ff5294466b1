"""feedback_app/golden.py and pinned_rows.py: rows that staff pinned, through each door."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from feedback_app import golden, intake, pinned_rows, snapshots
from feedback_app.intake import Speaker, Word
from feedback_app.models import Feedback
from models_app import datasets
from models_app.learning.rows import digest_instance
from models_app.learning.tables import instances_of
from models_app.models import RegisteredModel, TrainingSnapshot
from models_app.refusals import Conflict, InvalidInput, TooMuch, Unavailable
from tests.factories import LONG, SCHEMA, SHORT, leaves, make_champion, make_model, make_user
from tests.feedback_app.learnt import learnt
from tests.staff import page_of

pytestmark = pytest.mark.django_db

TOWNS = ("Köln", "Bonn")
NEW = {"length": 42.0, "width": 1.0}
RIGHT = b"length,width,kind\r\n42,1,oak\r\n1,1,elm\r\n"


@pytest.fixture
def superuser() -> User:
    return make_user("root", is_superuser=True)


@pytest.fixture
def model() -> RegisteredModel:
    """A model whose golden rows were chosen."""
    made = make_model()
    freeze(made)
    made.refresh_from_db()
    return made


def freeze(model: RegisteredModel, base: Any = None) -> TrainingSnapshot:
    base = leaves() if base is None else base
    return snapshots.freeze(model, base=base, up_to=timezone.now())


def pin(model: RegisteredModel, *pins: golden.Pin) -> int:
    actor = User.objects.get(username="root")
    return golden.pin(model, pins, actor=actor, reason="measured twice")


def trained(snapshot: TrainingSnapshot) -> set[str]:
    frozen = snapshots.load(snapshot, champion=None)
    return {digest_instance(one) for one in instances_of(frozen.train, SCHEMA)}


def judged(snapshot: TrainingSnapshot, **options: Any) -> dict[str, str]:
    """The golden rows that a run on this snapshot is judged on, with their answers."""
    frozen = snapshots.load(snapshot, champion=options.get("champion"))
    rows = frozen.unseen[frozen.is_golden]
    digests = map(digest_instance, instances_of(rows, SCHEMA))
    return dict(zip(digests, rows["kind"], strict=True))


def test_what_is_pinned_leaves_training_with_the_next_snapshot_and_judges(
    model: RegisteredModel, superuser: User
) -> None:
    before, digest = freeze(model), model.golden_digest
    (row,) = instances_of(snapshots.load(before, champion=None).train.head(1), SCHEMA)

    assert pin(model, (row, "oak"), (NEW, "oak")) == 2

    after = freeze(model)
    assert model.golden_digest not in ("", digest)
    assert trained(before) - trained(after) == {digest_instance(row)}
    assert judged(after).items() > judged(before).items()
    assert judged(after)[digest_instance(row)] == judged(after)[digest_instance(NEW)] == "oak"
    assert snapshots.load(after, champion=None).golden_digest == model.golden_digest


def test_a_version_is_not_judged_on_pinned_rows_that_it_or_the_champion_trained_on(
    model: RegisteredModel, superuser: User
) -> None:
    under_way = freeze(model)
    champion = make_champion(model, snapshot=under_way)
    (row,) = instances_of(snapshots.load(under_way, champion=None).train.head(1), SCHEMA)
    model.refresh_from_db()

    pin(model, (row, "oak"))

    assert digest_instance(row) not in judged(under_way)
    assert digest_instance(row) not in judged(freeze(model), champion=champion)


def test_the_same_rows_again_change_nothing_and_another_answer_takes_its_place(
    model: RegisteredModel, superuser: User
) -> None:
    pin(model, (NEW, "oak"))
    digest = model.golden_digest

    assert pin(RegisteredModel.objects.get(), (NEW, "oak")) == 0
    assert RegisteredModel.objects.get().golden_digest == digest
    assert LogEntry.objects.count() == 1

    assert pin(model, (NEW, "elm")) == 1
    assert judged(freeze(model))[digest_instance(NEW)] == "elm"


def test_who_pinned_what_and_why_is_in_the_models_history(
    model: RegisteredModel, superuser: User, boss: Client
) -> None:
    pin(model, (NEW, "oak"))

    line = LogEntry.objects.get()
    assert (line.user, line.get_edited_object()) == (superuser, model)
    assert "Pinned 1 golden rows" in line.change_message
    assert line.change_message.endswith("measured twice")
    assert "measured twice" in boss.get(page_of(model, "history")).text


def test_pinned_rows_outlive_a_change_of_schema_where_they_still_fit(
    model: RegisteredModel, superuser: User
) -> None:
    pin(model, (NEW, "oak"))
    feature = {"name": "width", "kind": "number", "required": False}
    optional = [{"name": "length", "kind": "number", "required": True}, feature]
    wider = [*optional, {"name": "height", "kind": "number", "required": False}]
    before = model.golden_digest

    RegisteredModel.objects.update(features=wider)
    model.refresh_from_db()
    with pytest.raises(Conflict, match="when it is next trained"):
        pin(model, (SHORT, "elm"))
    freeze(model, leaves().assign(height=1.0))

    model.refresh_from_db()
    assert model.golden_digest != before
    assert golden.read(model.golden_digest).answers[digest_instance(NEW)] == "oak"

    RegisteredModel.objects.update(features=optional[:1])
    model.refresh_from_db()
    freeze(model, leaves().drop(columns="width"))
    assert digest_instance(NEW) not in golden.read(model.golden_digest).answers


def test_feedback_neither_joins_the_golden_rows_nor_contradicts_them(
    model: RegisteredModel, superuser: User
) -> None:
    """D5."""
    pin(model, (NEW, "oak"))
    word = Word(value="elm", model="leaves", features=NEW)

    said = intake.record(word, speaker=Speaker(None, "192.0.2.1"))

    assert said.status == Feedback.Status.QUARANTINED
    assert "golden_row" in said.reasons
    Feedback.objects.update(status="accepted", accepted_at=timezone.now())
    assert judged(freeze(model))[digest_instance(NEW)] == "oak"
    assert digest_instance(NEW) not in trained(freeze(model))


def test_before_the_first_training_there_is_nothing_to_pin_to(superuser: User) -> None:
    with pytest.raises(Conflict) as refused:
        pin(make_model(), (NEW, "oak"))

    assert refused.value.code == "no_golden_rows"


def test_of_two_who_pin_at_once_the_second_is_told(model: RegisteredModel, superuser: User) -> None:
    stale = RegisteredModel.objects.get()
    pin(model, (NEW, "oak"))

    with pytest.raises(Unavailable, match="changed meanwhile"):
        pin(stale, (SHORT, "elm"))

    assert LogEntry.objects.count() == 1


def test_a_file_is_read_with_the_types_of_the_schema(model: RegisteredModel) -> None:
    assert pinned_rows.read(io.BytesIO(RIGHT), model) == [(NEW, "oak"), (SHORT, "elm")]


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        (b"", {"": "empty"}),
        (b"length,width,kind\n", {"rows": "empty"}),
        (b"length,width,kind\n\xff,1,oak\n", {"": "invalid_utf8"}),
        (b"length,width\n9,1\n", {"kind": "required"}),
        (b"length,girth,kind\n9,1,oak\n", {"width": "required"}),
        (b"length,width,kind\n9,1,oak\nlong,,\n",
         {"rows.2.length": "invalid_type", "rows.2.width": "required", "rows.2.kind": "required"}),
        (b"length,width,kind\n9,1\n", {"rows.1.kind": "required"}),
        (b"length,width,kind\n9,1,oak,1\n", {"rows.1": "invalid_row"}),
        (b"length,width,kind\n9,1,oka\n", {"rows.1.kind": "unknown_class"}),
        (b"length,width,kind\n9,1,oak\n9.0,1,elm\n", {"rows.2.kind": "contradiction"}),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_row_and_column(content: bytes, problems: dict[str, str]) -> None:
    model = make_champion().registered_model

    with pytest.raises(InvalidInput) as refused:
        pinned_rows.read(io.BytesIO(content), model)

    assert {one.attr: one.code for one in refused.value.problems} == problems


def test_a_file_that_trained_is_pinned_as_it_is(tmp_path: Path) -> None:
    lines = [
        f"{n % 7},5;{TOWNS[n % 2]};0{n % 2 + 1}/{n % 28 + 1}/2024;00{n % 2}" for n in range(40)
    ]
    content = "\n".join(["größe; stadt ;tag;kauft", *lines, ""]).encode("cp1252")
    more = '[models.leaves.reading]\nencoding = "cp1252"\nmissing = ["k.A."]\n'
    model = learnt(tmp_path, content, "kauft", more).registered_model
    rows, _ = datasets.read_for(model)
    typed = zip(instances_of(rows, model.schema), rows["kauft"], strict=True)

    assert pinned_rows.read(io.BytesIO(content), model) == list(typed)
    with pytest.raises(InvalidInput) as refused:
        pinned_rows.read(io.BytesIO(content + b"1,5;Bonn;01/02/2024;k.A.\n"), model)
    assert [one[:2] for one in refused.value.problems] == [("rows.41.kauft", "required")]


@pytest.mark.parametrize(
    ("row", "pinned"),
    [
        ("9.0,True,2,1,x", ({"n": 9.0, "sure": "yes", "branch": "2"}, "1.0")),
        (" 9 ,t, 2.0 , 1.0 ,", ({"n": 9.0, "sure": "yes", "branch": "2"}, "1.0")),
        ("NA,f,1,02", ({"branch": "1"}, "02")),
    ],
)
def test_the_cells_of_a_row_to_pin_are_read_as_in_training(
    row: str, pinned: golden.Pin, tmp_path: Path
) -> None:
    ways = ("1.0", "02")
    lines = [f"{n % 5},{('true', '')[n % 2]},{n % 2 + 1},{ways[n % 2]}" for n in range(40)]
    lines[3] = f",{lines[3].partition(',')[2]}"
    content = "\n".join(["n,sure,branch,kind", *lines, ""])
    more = '[models.leaves.features.branch]\nkind = "category"\n'
    model = learnt(tmp_path, content, "kind", more).registered_model

    (found,) = pinned_rows.read(io.BytesIO(f"n,sure,branch,kind,more\n{row}\n".encode()), model)

    sure = {"t": True, "True": True, "f": False}[row.split(",")[1]]
    assert found == (pinned[0] | {"sure": sure}, pinned[1])


@pytest.mark.parametrize("cell", ["1.234,5", " 1234,5 € ", "1234,5"])
def test_the_answer_of_a_regression_is_read_as_in_training(cell: str, tmp_path: Path) -> None:
    content = "n;price\n" + "".join(f"{n % 7};{n + 1}.{n % 3}00,25 €\n" for n in range(40))
    model = learnt(tmp_path, content, "price").registered_model

    (found,) = pinned_rows.read(io.BytesIO(f"price;n\n{cell};3\n".encode()), model)

    assert found == ({"n": 3.0}, 1234.5)


def test_a_file_has_a_thousand_rows_at_most(model: RegisteredModel) -> None:
    for content in (b"9,1,oak\n" * 1001, b" " * 2**20):
        with pytest.raises(TooMuch):
            pinned_rows.read(io.BytesIO(b"length,width,kind\n" + content), model)


def test_the_answer_of_a_regression_is_a_number() -> None:
    model = make_model(task="regression", target="age", metric="r2")

    (row,) = pinned_rows.read(io.BytesIO(b"length,width,age\n9,1,30\n"), model)

    assert row == (LONG, 30.0)


def _file(content: bytes) -> dict[str, Any]:
    file = io.BytesIO(content)
    file.name = "rows.csv"
    return {"file": file, "reason": "measured twice"}


def test_a_superuser_pins_a_file_in_the_admin(model: RegisteredModel, boss: Client) -> None:
    path = page_of(model, "pin")

    assert path in boss.get(page_of(model)).text
    assert "length, width, kind" in boss.get(path).text
    page = boss.post(path, _file(RIGHT), follow=True).text

    assert "Pinned 2 of 2 rows" in page
    model.refresh_from_db()
    assert golden.read(model.golden_digest).answers[digest_instance(NEW)] == "oak"


def test_a_wrong_file_is_refused_whole(model: RegisteredModel, boss: Client) -> None:
    answer = boss.post(page_of(model, "pin"), _file(RIGHT + b"long,1,oak\r\n"))

    assert answer.status_code == 400
    assert "rows.3.length: " in answer.text
    before = model.golden_digest
    model.refresh_from_db()
    assert model.golden_digest == before
    assert boss.post(page_of(model, "pin"), {"reason": "no file"}).status_code == 400


def test_a_manager_has_no_button_and_may_not(model: RegisteredModel, manager: Client) -> None:
    assert page_of(model, "pin") not in manager.get(page_of(model)).text
    with pytest.raises(PermissionDenied):
        golden.pin(model, [(NEW, "oak")], actor=User.objects.get(username="max"), reason="x")


def test_the_command_pins_a_file_or_says_what_is_wrong(
    model: RegisteredModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(RIGHT)

    call_command("pin", "leaves", str(file), "--reason", "measured twice")
    assert capsys.readouterr().out == "Pinned 2 of 2 rows.\n"
    call_command("pin", "leaves", str(file), "--reason", "again")
    assert capsys.readouterr().out == "Pinned 0 of 2 rows; 2 were pinned before.\n"

    file.write_bytes(RIGHT + b"long,1,oak\r\n")
    with pytest.raises(CommandError, match=r"Nothing was pinned\.\nrows\.3\.length: "):
        call_command("pin", "leaves", str(file), "--reason", "x")
    with pytest.raises(CommandError, match="No such file"):
        call_command("pin", "leaves", str(tmp_path / "none"), "--reason", "x")
