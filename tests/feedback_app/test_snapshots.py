from __future__ import annotations

from datetime import timedelta

import pandas as pd
import pytest
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from feedback_app import golden, reviewing, snapshots
from feedback_app.models import Feedback
from models_app.learning.rows import digest_instance
from models_app.learning.tables import infer_schema, instances_of
from models_app.models import RegisteredModel, TrainingSnapshot
from tests.factories import SCHEMA, leaves, make_champion, make_model, make_user
from tests.feedback_app.makers import make_feedback

pytestmark = pytest.mark.django_db


def freeze(model: RegisteredModel, base: pd.DataFrame | None = None) -> TrainingSnapshot:
    model.refresh_from_db()
    base = leaves() if base is None else base
    return snapshots.freeze(model, base=base, up_to=timezone.now())


def load(snapshot: TrainingSnapshot) -> snapshots.Frozen:
    return snapshots.load(snapshot, champion=snapshot.registered_model.champion)


def digests(frame: pd.DataFrame) -> set[str]:
    return {digest_instance(instance) for instance in instances_of(frame, SCHEMA)}


def new_leaf(number: int) -> dict[str, float]:
    return {"length": 20.0 + number, "width": 1.0}


def make_trained_champion(model: RegisteredModel) -> TrainingSnapshot:
    snapshot = freeze(model)
    make_champion(model, snapshot=snapshot)
    return snapshot


def test_golden_rows_are_chosen_once_and_never_train() -> None:
    model = make_model()
    first = load(freeze(model))
    chosen = golden.read(model.golden_digest)

    second = load(freeze(model, leaves(200, seed=0)))

    assert golden.read(model.golden_digest) == chosen
    assert digests(first.unseen) == set(chosen.answers)
    assert first.is_golden.all()
    assert len(first.train) + len(first.unseen) == 120
    for frozen in (first, second):
        assert digests(frozen.train).isdisjoint(chosen.answers)


def test_another_target_gets_golden_rows_of_its_own() -> None:
    model = make_model()
    freeze(model)
    before = model.golden_digest

    RegisteredModel.objects.update(target="species")
    freeze(model, leaves().rename(columns={"kind": "species"}))

    assert model.golden_digest != before
    assert golden.read(model.golden_digest).target == "species"


def test_the_same_rows_are_the_same_snapshot() -> None:
    model = make_model()

    assert freeze(model) == freeze(model)
    assert freeze(model, leaves(130)) != freeze(model)


def test_accepted_feedback_trains_and_its_lineage_is_kept() -> None:
    model = make_model(feedback={"weight": 3.0})
    words = [make_feedback(model, features=new_leaf(number)) for number in range(5)]
    make_feedback(model, features=new_leaf(9), status=Feedback.Status.PENDING)

    snapshot = freeze(model)

    train = load(snapshot).train
    assert snapshot.feedback_rows == 5
    assert set(Feedback.objects.filter(snapshots=snapshot)) == set(words)
    assert train.loc[train["length"] >= 20, "everlearn_weight"].tolist() == [3.0] * 5
    assert (train.loc[train["length"] < 20, "everlearn_weight"] == 1.0).all()


def test_feedback_that_came_after_the_start_waits_for_the_next_snapshot() -> None:
    model = make_model()
    make_feedback(model, features=new_leaf(1), at=timezone.now() + timedelta(minutes=1))

    assert freeze(model).feedback_rows == 0


def test_feedback_said_twice_counts_once_and_both_are_its_lineage() -> None:
    model = make_model()
    for _ in range(3):
        make_feedback(model, features=new_leaf(1))

    snapshot = freeze(model)

    assert snapshot.feedback_rows == 1
    assert Feedback.objects.filter(snapshots=snapshot).count() == 3


def test_feedback_that_repeats_a_row_of_the_base_data_takes_its_place() -> None:
    model = make_model()
    plain = load(freeze(model)).train
    (instance,) = instances_of(plain.head(1), SCHEMA)
    make_feedback(model, features=instance, value=plain["kind"].iloc[0])

    snapshot = freeze(model)

    assert snapshot.feedback_rows == 1
    assert len(load(snapshot).train) == len(plain)


def test_feedback_on_golden_rows_does_not_train() -> None:
    model = make_model()
    unseen = load(freeze(model)).unseen
    for instance in instances_of(unseen, SCHEMA):
        make_feedback(model, features=instance)

    assert freeze(model).feedback_rows == 0


def test_feedback_that_no_longer_fits_the_schema_is_left_out() -> None:
    model = make_model()
    make_feedback(model, features={"girth": 3})

    assert freeze(model).feedback_rows == 0


def test_the_newest_feedback_that_the_champion_has_not_seen_is_held_out() -> None:
    model = make_model()
    make_trained_champion(model)
    hours = [timezone.now() - timedelta(hours=10 - number) for number in range(10)]
    for number, at in enumerate(hours):
        make_feedback(model, features=new_leaf(number), at=at)

    snapshot = freeze(model)

    frozen = load(snapshot)
    assert snapshot.feedback_rows == 10
    assert set(frozen.unseen.loc[~frozen.is_golden, "length"]) == {27.0, 28.0, 29.0}
    assert digests(frozen.train).isdisjoint(digests(frozen.unseen))


def test_rows_that_the_champion_trained_on_are_not_judged() -> None:
    model = make_model()
    for number in range(10):
        make_feedback(model, features=new_leaf(number))
    make_trained_champion(model)

    frozen = load(freeze(model))

    assert frozen.is_golden.all()
    assert len(frozen.unseen)


def contributions(snapshot: TrainingSnapshot) -> dict[str, dict[str, float]]:
    return {one["source"]: one for one in snapshot.sources or []}


def test_one_source_keeps_no_more_than_its_share_of_the_training_weight() -> None:
    model = make_model(feedback={"weight": 4.0})
    for number in range(50):
        make_feedback(model, features=new_leaf(number), source="user:flood")
    for number in range(50, 54):
        make_feedback(model, features=new_leaf(number))

    snapshot = freeze(model)

    flood = contributions(snapshot)["user:flood"]
    train = load(snapshot).train
    rows = train["length"].between(20, 69.5) & (train["everlearn_weight"] == 4.0)
    assert (flood["offered"], flood["kept"]) == (50, int(rows.sum()))
    weight = train["everlearn_weight"].sum()
    assert flood["weight"] == pytest.approx(4 * flood["kept"] / weight, abs=1e-5)
    assert 0.17 < flood["weight"] <= 0.2


def test_what_one_source_loses_no_other_source_loses() -> None:
    model = make_model()
    for number in range(299):
        make_feedback(model, features=new_leaf(number), source="user:client")
    alone = contributions(freeze(model))["user:client"]["kept"]
    for number in range(300, 310):
        make_feedback(model, features=new_leaf(number), source=f"address:10.0.0.{number - 299}")

    among_strangers = contributions(freeze(model))["user:client"]["kept"]

    assert among_strangers >= alone >= 20


def test_a_thousand_networks_and_links_are_one_source() -> None:
    model = make_model()
    Feedback.objects.bulk_create(
        Feedback(
            registered_model=model, features=new_leaf(number), value="elm", status="accepted",
            source=f"link:{number}" if number % 2 else f"address:2001:db8:0:{number:x}::1",
            accepted_at=timezone.now(),
        )
        for number in range(1000)
    )  # fmt: skip

    snapshot = freeze(model)

    assert snapshot.feedback_rows <= 0.2 * snapshot.rows
    assert sum(one["weight"] for one in snapshot.sources or []) <= 0.2
    assert sum(one["offered"] for one in snapshot.sources or []) == 1000


def test_addresses_of_one_network_are_one_source() -> None:
    model = make_model()
    for number in range(3):
        make_feedback(model, features=new_leaf(number), source=f"address:2001:db8:1:2::{number}")

    assert [*contributions(freeze(model))] == ["address:2001:db8:1:2::"]


def test_rows_that_a_person_stands_for_are_outside_of_the_share() -> None:
    model = make_model()
    reviewer = make_user("reviewer", groups=("manager",))
    for number in range(60):
        make_feedback(model, features=new_leaf(number), source="user:r", given_by=reviewer)
    waiting = [
        make_feedback(model, features=new_leaf(number), source="address:10.0.0.1", status="pending")
        for number in range(60, 120)
    ]
    reviewing.review_many(waiting, actor=reviewer, decision="accept", reason="all looked at")

    found = contributions(freeze(model))

    assert [found[name]["kept"] for name in ("user:r", "address:10.0.0.1")] == [60, 60]
    assert found["address:10.0.0.1"]["reviewed"] == 60


def test_what_a_key_said_that_was_revoked_is_not_taken_on_trust() -> None:
    model = make_model()
    reviewer = make_user("reviewer", groups=("manager",), is_active=False)
    for number in range(60):
        make_feedback(model, features=new_leaf(number), source="user:r", given_by=reviewer)

    assert contributions(freeze(model))["user:r"]["kept"] < 30


def test_rows_that_no_training_can_use_are_left_out_and_counted() -> None:
    rows = leaves()
    numbers = rows.assign(kind=rows["length"] * 2)
    path = settings.EVERLEARN_HOME / "numbers.csv"
    numbers.to_csv(path, index=False)
    model = make_model(task="regression", metric="r2", data=str(path))
    for value in (1.7e308, 1e30, 1e6, 21.0):
        make_feedback(model, features=new_leaf(int(value % 97)), value=value, source="user:a")

    snapshot = freeze(model, numbers)

    told = contributions(snapshot)["user:a"]
    assert (told["unusable"], told["offered"], snapshot.feedback_rows) == (3, 1, 1)


def test_feedback_never_judges_more_rows_than_golden_ones_nor_a_source_more_than_its_share() -> (
    None
):
    model = make_model()
    make_trained_champion(model)
    for number in range(400):
        source = "user:flood" if number % 2 else f"user:{number % 20}"
        make_feedback(model, features=new_leaf(number), source=source)

    snapshot = freeze(model)

    frozen, told = load(snapshot), contributions(snapshot)
    golden_rows = int(frozen.is_golden.sum())
    assert 0 < len(frozen.unseen) - golden_rows <= golden_rows
    assert all(one["judged"] <= 0.2 * len(frozen.unseen) for one in told.values())
    assert sum(one["judged"] for one in told.values()) == len(frozen.unseen) - golden_rows


def test_every_kind_of_value_comes_back_as_it_was() -> None:
    base = pd.DataFrame(
        {
            "class": ["yes", "no"] * 20,
            "count": [*range(39), None],
            "size (cm)": [number / 7 for number in range(40)],
            "ok": [True, False, None, True] * 10,
            "when": ["2024-05-31", None] * 20,
            "größe": ["S", "M", None, "L"] * 10,
            "note.text": [
                f"a rather long note, number {number} of them all" for number in range(40)
            ],
        }
    )
    schema = infer_schema(base, target="class")
    model = make_model(target="class", features=schema.to_json())
    make_feedback(
        model, value="no",
        features={"größe": "7", "note.text": "x", "ok": True, "size (cm)": 1, "when": "2024-06-01"},
    )  # fmt: skip

    frozen = load(freeze(model, base))

    frame = pd.concat([frozen.train, frozen.unseen])
    wanted = {digest_instance(instance) for instance in instances_of(base, schema)}
    found = {digest_instance(instance) for instance in instances_of(frame, schema)}
    assert found > wanted
    assert len(found) == 41


def test_a_file_that_was_cut_off_in_the_writing_is_written_again() -> None:
    model = make_model()
    snapshot = freeze(model)
    name = f"snapshots/{snapshot.digest}.parquet"
    default_storage.delete(name)
    default_storage.save(name, ContentFile(b"PAR1 and then the worker was killed"))

    assert len(load(freeze(model)).train)


@pytest.mark.parametrize("rows", [0, 3, 9])
def test_too_few_rows_are_refused(rows: int) -> None:
    with pytest.raises(ValueError, match="row"):
        freeze(make_model(), leaves(rows))
