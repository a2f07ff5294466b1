"""Feedback and a model that is declared anew: what can no longer train says so, and counts not."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from feedback_app import (
    erasing,
    golden,
    golden_tables,
    parquet,
    retraining,
    reviewing,
    snapshots,
    triggering,
)
from feedback_app.attempts import carry_out
from feedback_app.links import Link
from feedback_app.models import Feedback
from feedback_app.pages import TOO_LATE
from models_app.actors import system_user
from models_app.models import Prediction, RegisteredModel
from models_app.refusals import Conflict
from tests.conftest import KeyMaker
from tests.factories import LONG, SHORT, leaves, make_champion, make_user
from tests.feedback_app.makers import make_feedback, make_prediction, make_run

pytestmark = pytest.mark.django_db

DECLARED = """
[models.leaves]
data = "leaves.csv"
target = "kind"
public = true
estimator = "logistic"
"""


@pytest.fixture
def declare(tmp_path: Path) -> Any:
    """Has the model be what the table says, as `manage.py apply` would."""

    def declared(table: pd.DataFrame, text: str = DECLARED) -> RegisteredModel:
        table.to_csv(tmp_path / "leaves.csv", index=False)
        (tmp_path / "models.toml").write_text(text)
        call_command("apply", str(tmp_path / "models.toml"))
        return RegisteredModel.objects.get()

    return declared


def with_hue() -> pd.DataFrame:
    chance = np.random.default_rng(3)
    return leaves().assign(hue=chance.uniform(0, 1, 120).round(2))[
        ["length", "width", "hue", "kind"]
    ]


def with_some_hue() -> pd.DataFrame:
    table = with_hue()
    table.loc[::3, "hue"] = None
    return table


def frozen(model: RegisteredModel, base: pd.DataFrame) -> int:
    return snapshots.freeze(model, base=base, up_to=timezone.now()).feedback_rows


def waiting(word: Feedback) -> tuple[str, list[str]]:
    word.refresh_from_db()
    return word.status, word.reasons


def test_labels_that_come_after_a_new_required_column_say_that_they_cannot_train(
    declare: Any, api: APIClient
) -> None:
    version = make_champion(declare(leaves()))
    asked = [make_prediction(version, input={**LONG, "width": n}) for n in range(20)]
    model = declare(with_hue())

    sent = [{"prediction": str(one.pk), "value": "oak"} for one in asked]
    answer = api.post("/api/feedback/", sent, format="json").json()
    single = api.post("/api/feedback/", {"prediction": asked[0].pk, "value": "oak"}).json()
    link = Link(asked[1].pk, "one", timezone.now() + timedelta(seconds=60))
    page = Client().post(f"/f/{link}", {"right": "on"})

    assert {one["status"] for one in answer["results"]} == {"quarantined"}
    assert (single["status"], single["reasons"]) == ("quarantined", ["features_changed"])
    assert Feedback.objects.first().reason_details == {"features_changed": ["hue"]}  # type: ignore[union-attr]
    assert TOO_LATE in page.text
    assert triggering.feedback_since_last_snapshot(model) == 0
    assert frozen(model, with_hue()) == 0


def test_labels_that_come_after_a_new_optional_column_train(declare: Any, api: APIClient) -> None:
    version = make_champion(declare(leaves()))
    prediction = make_prediction(version, input={"length": 9.5, "width": 20.0})
    model = declare(with_some_hue())

    said = api.post("/api/feedback/", {"prediction": prediction.pk, "value": "oak"}).json()

    assert said["status"] == "accepted"
    assert triggering.feedback_since_last_snapshot(model) == 1
    assert frozen(model, with_some_hue()) == 1


def test_feedback_of_before_waits_and_is_taken_back_when_the_column_goes_again(
    declare: Any,
) -> None:
    model = declare(leaves())
    word = make_feedback(model)
    assert triggering.feedback_since_last_snapshot(model) == 1

    model = declare(with_hue())
    assert waiting(word) == ("quarantined", ["features_changed"])
    assert triggering.feedback_since_last_snapshot(model) == 0

    model = declare(with_some_hue())
    assert waiting(word) == ("accepted", [])
    assert triggering.feedback_since_last_snapshot(model) == 1


def test_a_column_that_is_gone_leaves_the_rest_of_the_feedback_to_train(
    declare: Any, api: APIClient
) -> None:
    version = make_champion(declare(with_hue()))
    asked = make_prediction(version, input={"length": 9.5, "width": 21.0, "hue": 0.5})
    make_feedback(version.registered_model, features={"length": 8.0, "width": 22.0, "hue": 0.1})
    model = declare(leaves())

    said = api.post("/api/feedback/", {"prediction": asked.pk, "value": "oak"}).json()

    assert said["status"] == "accepted"
    assert triggering.feedback_since_last_snapshot(model) == 2
    assert frozen(model, leaves()) == 2


def test_a_late_word_on_a_golden_row_does_not_train_because_of_a_column_that_is_gone(
    declare: Any, api: APIClient
) -> None:
    version = make_champion(declare(with_hue()))
    model = declare(leaves())
    frozen(model, leaves())
    row = golden_tables.table(model).iloc[0]
    instance = {"length": float(row["length"]), "width": float(row["width"]), "hue": 0.5}
    asked = make_prediction(version, input=instance, value=row["kind"], probabilities=None)

    api.post("/api/feedback/", {"prediction": asked.pk, "value": row["kind"]})

    assert Feedback.objects.get().is_golden
    assert frozen(RegisteredModel.objects.get(), leaves()) == 0


@pytest.mark.parametrize(
    ("values", "fits"),
    [(["thin", "wide"], False), ([0.5, 1.5], True)],
    ids=["numbers became words", "numbers stayed"],
)
def test_a_feature_of_another_kind_fits_where_the_value_does(
    declare: Any, values: list[Any], fits: bool
) -> None:
    word = make_feedback(declare(leaves()), features={"length": 9.0, "width": 1.5})

    declare(leaves().assign(width=[values[n % 2] for n in range(120)]))

    expected = ("accepted", []) if fits else ("quarantined", ["features_changed"])
    assert waiting(word) == expected


def test_answers_for_another_target_wait_until_the_target_is_back(declare: Any) -> None:
    table = leaves().assign(size=["large", "small"] * 60)
    model = declare(table)
    word = make_feedback(model, features={**LONG, "size": "large"})

    declare(table, DECLARED.replace('"kind"', '"size"'))
    assert waiting(word)[1] == ["features_changed", "target_changed"]

    declare(table)
    assert waiting(word) == ("accepted", [])


def test_a_label_for_the_target_of_before_does_not_train_for_the_target_of_now(
    declare: Any, api: APIClient
) -> None:
    table = leaves().assign(size=["large", "small"] * 60)
    model = declare(table)
    frozen(model, table)
    asked = make_prediction(make_champion(model), input={**LONG, "size": "large"})
    declare(table, DECLARED.replace('"kind"', '"size"'))

    said = api.post("/api/feedback/", {"prediction": asked.pk, "value": "oak"}).json()

    assert said["status"] == "quarantined"
    assert "target_changed" in said["reasons"]


def test_a_class_that_is_in_the_data_no_more_waits_for_a_person(declare: Any) -> None:
    model = declare(leaves())
    ash = make_feedback(model, features={"length": 9.0, "width": 33.0}, value="ash")
    oak = make_feedback(model, features={"length": 9.0, "width": 34.0}, value="oak")
    other = leaves().replace({"kind": {"oak": "ash"}})

    assert frozen(model, leaves()) == 1
    assert waiting(ash) == ("pending", ["new_class"])
    assert triggering.feedback_since_last_snapshot(model) == 1

    reviewing.review(
        ash, actor=make_user("eve", is_superuser=True), decision="accept", reason="it is one"
    )
    assert frozen(declare(other), other) == 1
    assert waiting(ash)[0] == "accepted"
    assert waiting(oak) == ("pending", ["new_class"])


def test_nobody_accepts_what_no_version_could_learn(declare: Any) -> None:
    word = make_feedback(declare(leaves()))
    declare(with_hue())
    word.refresh_from_db()

    with pytest.raises(Conflict, match="does not fit hue") as refusal:
        reviewing.review(
            word, actor=make_user("eve", is_superuser=True), decision="accept", reason="good"
        )

    assert refusal.value.code == "features_changed"


def test_what_a_person_accepted_is_accepted_again_once_it_fits(declare: Any) -> None:
    model = declare(leaves())
    word = make_feedback(model, status="quarantined", reasons=["confident_disagreement"])
    other = make_feedback(model, status="quarantined", reasons=["confident_disagreement"])
    eve = make_user("eve", is_superuser=True)
    reviewing.review(word, actor=eve, decision="accept", reason="I saw it")

    declare(with_hue())
    assert {waiting(one)[0] for one in (word, other)} == {"quarantined"}
    declare(leaves())

    assert waiting(word) == ("accepted", ["confident_disagreement"])
    assert waiting(other) == ("quarantined", ["confident_disagreement"])


def test_the_change_of_a_model_does_not_tell_which_rows_are_golden(
    declare: Any, api: APIClient
) -> None:
    model = declare(leaves())
    frozen(model, leaves())
    row = golden_tables.table(model).iloc[0]
    instance = {"length": float(row["length"]), "width": float(row["width"])}
    wrong = "elm" if row["kind"] == "oak" else "oak"
    for features in (instance, {"length": 9.125, "width": 3.125}):
        body = {"model": "leaves", "features": features, "value": wrong}
        assert api.post("/api/feedback/", body, format="json").json()["status"] == "accepted"
    statuses = {word.status for word in Feedback.objects.all()}
    assert statuses == {"accepted", "quarantined"}

    for table in (with_hue(), leaves()):
        declare(table)
        shown = {
            (word.status_for(reviewer=False), *word.reasons_for(reviewer=False))
            for word in Feedback.objects.all()
        }
        assert len(shown) == 1

    assert {word.status for word in Feedback.objects.all()} == statuses


def test_numbers_out_of_reach_are_set_aside_when_rows_are_frozen(declare: Any) -> None:
    text = DECLARED.replace('"logistic"', '"ridge"') + 'task = "regression"\n'
    table = leaves().assign(kind=np.linspace(0, 1, 120))
    model = declare(table, text + '[models.leaves.feedback]\nreview = "none"\n')
    word = make_feedback(model, features=LONG, value=1e6)

    assert frozen(model, table) == 0

    assert waiting(word) == ("quarantined", ["outside_training_range"])
    assert triggering.feedback_since_last_snapshot(model) == 0


def test_the_reason_is_told_by_api_and_admin(
    declare: Any, client_with: KeyMaker, api: APIClient
) -> None:
    make_feedback(declare(leaves()))
    declare(with_hue())

    (listed,) = client_with("read").get("/api/feedback/?model=leaves").json()["results"]
    assert (listed["status"], listed["reasons"]) == ("quarantined", ["features_changed"])
    api.force_login(make_user("eve", is_superuser=True, is_staff=True))
    page = api.get("/admin/feedback_app/feedback/").content.decode()
    assert "features_changed (hue)" in page


def test_after_the_next_training_new_predictions_are_learnt_from(declare: Any) -> None:
    declare(leaves())
    model = declare(with_hue())
    run = retraining.claim(make_run(model).pk)
    assert run
    carry_out(run, run.attempts)
    model.refresh_from_db()
    assert model.champion
    asked = make_prediction(model.champion, input={**SHORT, "hue": 0.5}, value="elm")
    make_feedback(model, prediction=asked, features=asked.input, value="elm")

    assert Prediction.objects.count() == 1
    assert golden.read(model.golden_digest).features == ["length", "width", "hue"]
    assert frozen(model, with_hue()) == 1


def test_forgetting_a_person_also_takes_the_row_that_lost_a_column(declare: Any) -> None:
    version = make_champion(declare(with_hue()))
    features = {"length": 9.5, "width": 21.0, "hue": 0.5}
    asked = make_prediction(version, subject="ada", input=features)
    make_feedback(version.registered_model, prediction=asked, features=features)
    model = declare(leaves())
    snapshot = snapshots.freeze(model, base=leaves(), up_to=timezone.now())

    erasing.forget("ada", actor=system_user("cli"), patience=timedelta(0))

    table = parquet.read_table(f"snapshots/{snapshot.digest}.parquet")
    assert 21.0 not in table["width"].tolist()
