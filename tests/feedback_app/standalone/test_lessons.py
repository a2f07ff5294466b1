"""What a training elsewhere learns. But for the first test none may ask the database."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from django.conf import LazySettings
from django.utils import timezone

from feedback_app import snapshots
from feedback_app.standalone.lessons import (
    LessonRefused,
    declared_lesson,
    frozen_lesson,
    name_of,
)
from feedback_app.training_rows import SchemaChanged, rows_of
from models_app.datasets import DataRefused
from models_app.learning.tables import WEIGHT
from models_app.models import RegisteredModel
from tests.factories import SCHEMA, leaves, make_model

DECLARED = """
[models.leaves]
data = "leaves.csv"
target = "kind"
estimator = "logistic"
"""
Declare = Callable[[str], int]
FEEDBACK = pd.DataFrame({"length": [20.5, 21.5], "width": [1.0, 1.0], "kind": ["elm", "elm"]})
LEAVES = RegisteredModel(target="kind", task="classification", features=SCHEMA.to_json())
HELD_OUT = {row.digest for row in rows_of(LEAVES, leaves().head(30))}


@pytest.fixture(autouse=True)
def declare(tmp_path: Path, settings: LazySettings) -> Declare:
    leaves().to_csv(tmp_path / "leaves.csv", index=False)
    settings.EVERLEARN_MODELS = path = tmp_path / "everlearn.toml"
    path.write_text(DECLARED)
    return path.write_text


def rows(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    return [*frame[["length", "width", "kind"]].itertuples(index=False, name=None)]


def told() -> list[str]:
    return []


def frozen(**about: Any) -> bytes:
    """What a service sends of a run: base rows without the first thirty, then two of feedback."""
    table = pd.concat([leaves().iloc[30:].assign(**{WEIGHT: 1.0}), FEEDBACK.assign(**{WEIGHT: 2})])
    note = {
        "model": "leaves", "task": "classification", "target": "kind", "estimator": "logistic",
        "metric": "balanced_accuracy", "recipe": "5e" * 32, "schema": SCHEMA.to_json(),
        "seed": 11, "snapshot_digest": "d1" * 32, "installation": "here", "feedback_rows": 2,
        "never": sorted(HELD_OUT), **about,
    }  # fmt: skip
    made = pyarrow.Table.from_pandas(table, preserve_index=False)
    metadata = {**made.schema.metadata, b"everlearn": json.dumps(note).encode()}
    file = BytesIO()
    pyarrow.parquet.write_table(made.replace_schema_metadata(metadata), file)
    return file.getvalue()


@pytest.mark.django_db
def test_without_a_service_the_rows_are_those_that_a_worker_would_learn_from() -> None:
    lesson = declared_lesson("leaves", "")

    model = make_model()
    snapshot = snapshots.freeze(model, base=leaves(), up_to=timezone.now())
    theirs = snapshots.load(snapshot, champion=None)
    assert rows(lesson.train) == rows(theirs.train)
    assert sorted(rows(lesson.unseen)) == sorted(rows(theirs.unseen))
    assert (lesson.digest, lesson.model.features) == (snapshot.digest, model.features)
    named = pd.read_parquet(BytesIO(lesson.learnt_from))
    assert set(named["everlearn_digest"]) == {row.digest for row in rows_of(model, theirs.train)}
    assert set(named["everlearn_role"]) == {"train"}


def test_other_data_takes_the_place_of_the_declared(tmp_path: Path) -> None:
    leaves(80, seed=5).to_parquet(tmp_path / "others.parquet")

    lesson = declared_lesson("leaves", str(tmp_path / "others.parquet"))

    assert len(lesson.train) + len(lesson.unseen) == 80
    with pytest.raises(DataRefused, match="no such file"):
        declared_lesson("leaves", str(tmp_path / "nothing.csv"))


@pytest.mark.parametrize(
    ("declared", "asked", "said"),
    [
        ("", "", "leaves"),
        ("[models.oaks]\ndata='o.csv'\ntarget='t'\n", "oaks", "oaks"),
        ("[models.oaks]\ndata='o.csv'\ntarget='t'\n", "", "has no default"),
        ("", "leavse", "did you mean 'leaves'"),
    ],
)
def test_the_model_is_the_one_asked_for_or_the_only_one(
    declare: Declare, declared: str, asked: str, said: str
) -> None:
    declare(DECLARED + declared)

    try:
        answer = name_of(asked)
    except LessonRefused as refusal:
        answer = str(refusal)

    assert said in answer


def test_what_the_service_froze_is_learnt_as_it_is() -> None:
    lesson = frozen_lesson("leaves", frozen(), "", told().append)

    assert rows(lesson.train) == [*rows(leaves().iloc[30:]), *rows(FEEDBACK)]
    assert lesson.train[WEIGHT].tolist() == [1.0] * 90 + [2.0] * 2
    assert (lesson.digest, lesson.seed, lesson.recipe) == ("d1" * 32, 11, "5e" * 32)
    assert (lesson.installation, lesson.learnt_from) == ("here", b"")
    # Measured on what the service keeps from every training, where the checkout has it.
    assert rows(lesson.unseen) == rows(leaves().head(30))


def test_without_the_declared_data_nothing_is_measured_and_that_is_said(declare: Declare) -> None:
    said = told()
    declare(DECLARED.replace("leaves.csv", "elsewhere.csv"))

    lesson = frozen_lesson("leaves", frozen(), "", said.append)

    assert lesson.unseen.empty
    assert len(lesson.train) == 92
    assert [line for line in said if "Nothing is measured here" in line and "no such file" in line]


def test_other_base_data_goes_with_the_frozen_feedback_but_never_with_what_judges(
    tmp_path: Path,
) -> None:
    others = pd.concat([leaves().head(60), leaves(40, seed=9), FEEDBACK.tail(1)])
    others.to_csv(tmp_path / "others.csv", index=False)

    lesson = frozen_lesson("leaves", frozen(), str(tmp_path / "others.csv"), told().append)

    kept = [*rows(leaves().iloc[30:60]), *rows(leaves(40, seed=9))]
    assert rows(lesson.train) == [*kept, *rows(FEEDBACK)]
    assert lesson.train[WEIGHT].tolist() == [1.0] * 70 + [2.0] * 2
    assert lesson.digest != "d1" * 32
    assert (lesson.recipe, lesson.installation) == ("5e" * 32, "here")
    named = pd.read_parquet(BytesIO(lesson.learnt_from))
    assert len(named) == 72
    assert HELD_OUT.isdisjoint(named["everlearn_digest"])


def test_the_same_base_data_from_elsewhere_is_the_services_snapshot(tmp_path: Path) -> None:
    lesson = frozen_lesson("leaves", frozen(), str(tmp_path / "leaves.csv"), told().append)

    assert (lesson.digest, lesson.learnt_from) == ("d1" * 32, b"")


def test_data_of_other_columns_is_refused_by_their_names(tmp_path: Path) -> None:
    leaves().rename(columns={"width": "breadth"}).to_csv(tmp_path / "other.csv", index=False)

    with pytest.raises(SchemaChanged, match="'width' is missing; column 'breadth' is new"):
        frozen_lesson("leaves", frozen(), str(tmp_path / "other.csv"), told().append)


@pytest.mark.parametrize(
    ("key", "there"),
    [("estimator", "os.abort"), ("target", "species"), ("metric", "f1_macro")],
)
def test_a_checkout_that_would_learn_otherwise_is_refused_by_name(
    declare: Declare, key: str, there: str
) -> None:
    declare(DECLARED + 'metric = "balanced_accuracy"\n')

    with pytest.raises(LessonRefused, match=f"{key} is '.*' here and '{there}' there"):
        frozen_lesson("leaves", frozen(**{key: there}), "", told().append)


def test_the_services_schema_counts_and_the_difference_is_said(declare: Declare) -> None:
    said = told()
    declare(DECLARED + "[models.leaves.features.width]\nrequired = false\n")

    lesson = frozen_lesson("leaves", frozen(), "", said.append)

    assert lesson.model.schema == SCHEMA
    assert said == ["The service's schema is used, which differs from the file's in width."]


def test_a_file_without_a_word_on_what_is_learnt_is_refused() -> None:
    file = BytesIO()
    leaves().to_parquet(file)

    with pytest.raises(LessonRefused, match="does not say what is learnt"):
        frozen_lesson("leaves", file.getvalue(), "", told().append)
