"""Tables and declarations that do not fit each other, refused with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from models_app.applying import PlanRefused
from tests.models_app.test_messy_tables import column, csv, declare, rows

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ('[models.m.features.x]\nkind = "boolean"\n',
         "column 'x', line 3: 'ja' is no boolean .1 of 2 cells are none.. Write true or false"),
        ('[models.m.features.x]\nkind = "number"\n',
         "column 'x', line 2: 'no' is no number .2 of 2 cells are none.. Declare missing = ..no.."),
        ('ignore = ["xx"]\n', "ignore: there is no column 'xx'; did you mean 'x'"),
        ('ignore = ["y"]\n', "ignore: 'y' is the target; take it away"),
        ('[models.m.features.y]\nkind = "number"\n', "features: 'y' is the target; take it away"),
    ],
)  # fmt: skip
def test_what_a_declaration_says_in_vain_is_refused_with_what_to_do(
    tmp_path: Path, more: str, told: str
) -> None:
    with pytest.raises(PlanRefused, match=told):
        declare(tmp_path, csv("x,y", "no,1", "ja,2"), more=more)


def test_examples_are_cells_that_say_something(tmp_path: Path) -> None:
    declare(tmp_path, csv("x,y", *[",1", "  ,2", "a,1", "b,2"] * 5))

    assert column("x")["examples"] == ["a", "b"]


CLASSES = csv("x,y", *(f"{n},{n % 3}" for n in range(39)), "5,A7")


def test_a_question_about_the_target_has_ways_out_that_a_target_can_take(tmp_path: Path) -> None:
    with pytest.raises(PlanRefused, match="column 'y', line 41: 39 of 40 cells are numbers") as no:
        declare(tmp_path, CLASSES)

    assert 'task = "classification", if they name classes; missing = ["A7"]' in str(no.value)
    assert "kind =" not in str(no.value)


@pytest.mark.parametrize(
    "more", ['task = "classification"\n', "[models.m.reading]\nmissing = ['A7']\n"]
)
def test_each_way_out_of_a_question_about_the_target_is_one(tmp_path: Path, more: str) -> None:
    declare(tmp_path, CLASSES, more=more)

    found = rows()
    assert len(found) == (40 if "task" in more else 39)
    assert set(found["y"]) - {"A7"} == {"0", "1", "2"}


def test_dates_that_name_classes_need_no_order(tmp_path: Path) -> None:
    content = csv("x,y", *(f"{n},0{1 + n % 2}/01/2024" for n in range(30)))

    declare(tmp_path, content, more='task = "classification"\n')

    assert set(rows()["y"]) == {"01/01/2024", "02/01/2024"}
