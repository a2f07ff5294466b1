"""Tables whose rows repeat a few instances: rows of a class or of a shop, each one evidence."""

from __future__ import annotations

import secrets
from collections import Counter
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from django.conf import LazySettings, settings
from django.utils import timezone

from feedback_app import (
    erasing,
    golden,
    parquet,
    retraining,
    screening,
    snapshots,
    training_files,
)
from feedback_app.attempts import carry_out
from feedback_app.models import Feedback, RetrainingRun
from feedback_app.standalone import lessons
from models_app import reports
from models_app.actors import system_user
from models_app.learning.rows import digest_instance
from models_app.learning.tables import infer_schema, instances_of
from models_app.models import RegisteredModel, TrainingSnapshot
from tests.factories import make_model, make_user, make_version
from tests.feedback_app.makers import make_feedback, make_prediction, make_run

pytestmark = pytest.mark.django_db

# How many of each sex and cabin survived, and how many did not.
FATES = {("f", 1): (76, 17), ("f", 2): (79, 31), ("f", 3): (69, 27), ("m", 1): (16, 97),
         ("m", 2): (12, 81), ("m", 3): (10, 85)}  # fmt: skip
WOMAN = {"sex": "f", "cabin": 1}


def passengers() -> pd.DataFrame:
    rows = [
        (sex, cabin, fate)
        for (sex, cabin), counts in FATES.items()
        for fate, count in zip(("yes", "no"), counts, strict=True)
        for _ in range(count)
    ]
    frame = pd.DataFrame(rows, columns=["sex", "cabin", "survived"])
    return frame.sample(frac=1, random_state=1).reset_index(drop=True)


def model_of(frame: pd.DataFrame, target: str, **fields: Any) -> RegisteredModel:
    path = settings.EVERLEARN_HOME / f"{secrets.token_hex(4)}.csv"
    frame.to_csv(path, index=False)
    schema = infer_schema(frame, target=target).to_json()
    features = [{key: one[key] for key in ("name", "kind", "required")} for one in schema]
    return make_model(data=str(path), target=target, features=features, **fields)


def trained(model: RegisteredModel) -> RetrainingRun:
    run = retraining.claim(make_run(model).pk)
    assert run
    carry_out(run, run.attempts)
    run.refresh_from_db()
    model.refresh_from_db()
    return run


def frozen(model: RegisteredModel, base: pd.DataFrame) -> TrainingSnapshot:
    model.refresh_from_db()
    return snapshots.freeze(model, base=base, up_to=timezone.now())


def counts_of(frame: pd.DataFrame) -> Counter[tuple[Any, ...]]:
    cells = frame[["sex", "cabin", "survived"]].astype({"cabin": float})
    return Counter(cells.itertuples(index=False, name=None))


def test_each_instance_trains_and_judges_and_no_row_does_both() -> None:
    base = passengers()
    model = model_of(base, "survived")

    loaded = snapshots.load(frozen(model, base), champion=None)

    train, unseen = counts_of(loaded.train), counts_of(loaded.unseen)
    assert train + unseen == counts_of(base)
    assert {key[:2] for key in train} == {key[:2] for key in unseen}
    assert 0.18 < len(loaded.unseen) / len(base) < 0.22


def test_a_model_of_few_combinations_serves_and_says_what_its_score_is_worth() -> None:
    model = model_of(passengers(), "survived")

    run = trained(model)

    assert (run.status, run.error) == ("succeeded", "")
    assert model.champion
    assert 0.72 < model.champion.metrics["accuracy"] < 0.9
    assert model.champion.gate
    assert "repeat few different instances" in model.champion.gate["notes"][0]
    assert model.champion.gate["notes"][0] in reports.gate_report(model.champion.gate)


def test_the_order_of_rows_moves_no_row_from_judging_to_training() -> None:
    base = passengers()
    model = model_of(base, "survived")
    first = snapshots.load(frozen(model, base), champion=None)

    second = frozen(model, base.sample(frac=1, random_state=2).reset_index(drop=True))

    assert counts_of(snapshots.load(second, champion=None).train) == counts_of(first.train)


def test_rows_that_are_added_train_beside_those_like_them() -> None:
    base = passengers()
    model = model_of(base, "survived")
    first = snapshots.load(frozen(model, base), champion=None)
    more = pd.concat([base, base.head(50)], ignore_index=True)

    second = snapshots.load(frozen(model, more), champion=None)

    assert len(second.train) == len(first.train) + 50
    assert counts_of(second.unseen) == counts_of(first.unseen)


def test_what_a_champion_trained_on_does_not_judge_it() -> None:
    base = passengers()
    model = model_of(base, "survived")
    trained(model)
    assert model.champion

    again = trained(model)

    assert again.version
    assert again.version.gate
    assert again.version.gate["golden_rows"] == again.version.gate["rows"]
    digests = snapshots.trained_digests(model.champion)
    assert digests.isdisjoint(golden.read(model.golden_digest).answers)


def test_feedback_on_a_known_combination_is_one_more_row_and_replaces_none() -> None:
    base = passengers()
    model = model_of(base, "survived")
    before = frozen(model, base)
    for _ in range(7):
        make_feedback(model, features=WOMAN, value="no")

    after = frozen(model, base)

    assert (after.rows, after.feedback_rows) == (before.rows + 7, 7)


def test_several_words_about_one_prediction_are_one_row() -> None:
    base = passengers()
    model = model_of(base, "survived")
    assert trained(model).version
    assert model.champion
    prediction = make_prediction(model.champion, input=WOMAN, value="yes", probabilities=None)
    for _ in range(3):
        make_feedback(model, prediction=prediction, features=WOMAN, value="no")

    assert frozen(model, base).feedback_rows == 1


def test_of_the_feedback_since_the_champion_a_part_judges_and_does_not_train() -> None:
    base = passengers()
    model = model_of(base, "survived")
    trained(model)
    for _ in range(40):
        make_feedback(model, features=WOMAN, value="no")

    snapshot = frozen(model, base)
    loaded = snapshots.load(snapshot, champion=model.champion)

    judging = int((~loaded.is_golden).sum())
    assert snapshot.feedback_rows == 40
    assert 0 < judging < 20
    assert len(loaded.train) == 480 + 40 - judging
    assert int(loaded.is_golden.sum()) == 120


def test_no_word_on_such_a_model_tells_a_golden_row() -> None:
    base = passengers()
    model = model_of(base, "survived")
    frozen(model, base)
    model.refresh_from_db()
    drafts = [
        Feedback(registered_model=model, features=instance, value=value, source="address:192.0.2.1")
        for instance in ({"sex": sex, "cabin": cabin} for sex, cabin in FATES)
        for value in ("yes", "no")
    ]

    screening.screen(drafts, trusted=False)

    assert {(draft.status, draft.is_golden) for draft in drafts} == {("accepted", False)}


def test_a_pinned_row_never_trains_whoever_says_it() -> None:
    base = passengers()
    model = model_of(base, "survived")
    frozen(model, base)
    model.refresh_from_db()
    golden.pin(model, [(WOMAN, "yes")], actor=make_user("eve", is_superuser=True), reason="known")
    assert "No row with the same features trains" in golden.told(model, 1, 1)
    make_feedback(model, features=WOMAN, value="no")

    loaded = snapshots.load(frozen(model, base), champion=None)

    digests = {digest_instance(one) for one in instances_of(loaded.train, model.schema)}
    assert digest_instance(WOMAN) not in digests
    assert len(digests) == len(FATES) - 1
    assert ("f", 1.0, "yes") in counts_of(loaded.unseen)


def test_a_row_pinned_after_its_like_trained_does_not_judge_that_version() -> None:
    base = passengers()
    model = model_of(base, "survived")
    snapshot = frozen(model, base)
    model.refresh_from_db()
    golden.pin(model, [(WOMAN, "yes")], actor=make_user("eve", is_superuser=True), reason="known")
    snapshot.refresh_from_db()

    loaded = snapshots.load(
        TrainingSnapshot.objects.select_related("registered_model").get(pk=snapshot.pk),
        champion=None,
    )

    assert digest_instance(WOMAN) not in (loaded.digests or ())


def of_small(rows: int, different: int, *, answers: list[Any]) -> pd.DataFrame:
    numbers = np.arange(rows) % different
    return pd.DataFrame({"shop": numbers, "sold": [answers[n % len(answers)] for n in range(rows)]})


@pytest.mark.parametrize(
    ("frame", "fields"),
    [
        (of_small(12, 5, answers=["a", "b"]), {}),
        (of_small(60, 2, answers=["a", "b", "b"]), {}),
        (of_small(300, 100, answers=[f"c{n}" for n in range(100)]), {}),
        (
            of_small(80, 8, answers=[float(n) for n in range(80)]),
            {"task": "regression", "estimator": "ridge", "metric": "neg_mean_absolute_error"},
        ),
        (
            of_small(24, 4, answers=[n * 0.5 for n in range(24)]),
            {"task": "regression", "estimator": "auto", "metric": "neg_mean_absolute_error"},
        ),
        (of_small(24, 4, answers=["a", "b", "b"]), {"estimator": "auto"}),
    ],
    ids=["12 of 5", "60 of 2", "a class an instance", "regression", "few and auto", "auto"],
)
def test_small_tables_that_repeat_are_learnt_and_judged(
    frame: pd.DataFrame, fields: dict[str, Any]
) -> None:
    run = trained(model_of(frame, "sold", **fields))

    assert run.status in ("succeeded", "held"), run.error
    assert run.version
    assert run.version.gate
    assert run.version.gate["golden_rows"] > 0


@pytest.mark.parametrize("count", [1, 2])
def test_a_rare_class_beside_large_ones_trains_and_is_said_to_be_unchecked(count: int) -> None:
    chance = np.random.default_rng(0)
    frame = pd.DataFrame({"x": chance.normal(size=200).round(3)})
    frame["kind"] = np.where(frame["x"] > 0, "big", "small")
    frame.loc[: count - 1, "kind"] = "rare"

    run = trained(model_of(frame, "kind", estimator="auto"))

    assert run.version
    assert "rare" in run.version.classes
    assert run.version.gate
    rows = "1 row" if count == 1 else "2 rows"
    assert f"'rare' ({rows})" in run.version.gate["notes"][-1]


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (pd.DataFrame({"x": range(12), "kind": [f"plant{n}" for n in range(12)]}),
         "12 of the 12 classes of 'kind' have one or two rows"),
        (pd.DataFrame({"x": range(20), "kind": [f"plant{n // 2}" for n in range(20)]}),
         "10 of the 10 classes of 'kind' have one or two rows"),
        (pd.DataFrame({"x": [1] * 600, "kind": ["a", "b"] * 300}),
         "all 600 rows have the same value in every feature"),
        (pd.DataFrame({"x": range(9), "kind": ["a", "b", "b"] * 3}),
         "9 rows with a value of 'kind' are too few"),
        (pd.DataFrame({"x": range(90), "kind": ["a"] * 90}), "the same value of 'kind', 'a'"),
    ],
    ids=["singletons", "pairs", "one instance", "nine rows", "one class"],
)  # fmt: skip
def test_what_cannot_be_learnt_is_refused_once_and_before_training(
    frame: pd.DataFrame, sentence: str
) -> None:
    run = trained(model_of(frame, "kind"))

    assert (run.status, run.attempts, run.snapshot) == ("failed", 1, None)
    assert run.error.startswith("data_refused: ")
    assert sentence in run.error
    assert not golden.read(RegisteredModel.objects.get().golden_digest).answers


def test_forgetting_a_person_takes_their_row_and_none_of_those_like_it() -> None:
    base = passengers()
    model = model_of(base, "survived")
    trained(model)
    assert model.champion
    asked = make_prediction(
        model.champion, subject="ada", input=WOMAN, value="yes", probabilities=None
    )
    make_feedback(model, prediction=asked, features=WOMAN, value="no")
    make_feedback(model, features=WOMAN, value="no")
    name = f"snapshots/{frozen(model, base).digest}.parquet"
    before = parquet.read_table(name)

    erasing.forget("ada", actor=system_user("cli"), patience=timedelta(0))

    assert len(parquet.read_table(name)) == len(before) - 1


def test_a_training_elsewhere_keeps_the_same_rows_from_training(
    settings: LazySettings, tmp_path: Path
) -> None:
    base = passengers()
    model = model_of(base, "survived")
    snapshot = frozen(model, base)
    model.refresh_from_db()
    settings.EVERLEARN_MODELS = tmp_path / "everlearn.toml"
    settings.EVERLEARN_MODELS.write_text(
        f"[models.leaves]\ndata = '{model.data}'\ntarget = 'survived'\nestimator = 'logistic'\n"
    )
    pd.concat([base, base.head(50)]).to_csv(tmp_path / "more.csv", index=False)
    file = training_files.as_parquet(model, snapshots.frozen_training(snapshot), run_id=1)

    alone = lessons.declared_lesson("leaves", "")
    same = lessons.frozen_lesson("leaves", file, "", print)
    more = lessons.frozen_lesson("leaves", file, str(tmp_path / "more.csv"), print)

    loaded = snapshots.load(snapshot, champion=None)
    for lesson in (alone, same):
        assert counts_of(lesson.train) == counts_of(loaded.train)
        assert counts_of(lesson.unseen) == counts_of(loaded.unseen)
    assert counts_of(more.unseen) == counts_of(loaded.unseen)
    assert len(more.train) == len(loaded.train) + 50
    told = snapshots.keep_learnt_from(model, "1" * 64, pd.read_parquet(BytesIO(alone.learnt_from)))
    version = make_version(model, snapshot=told)
    digests = snapshots.trained_digests(version)
    assert digests == snapshots.trained_digests(make_version(model, snapshot=snapshot))
