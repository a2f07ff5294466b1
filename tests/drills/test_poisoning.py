"""Feedback that means harm: flipped labels, floods, backdoors, slow drips (D1 to D5).

Real data, real snapshots, real versions and the real gate; MLflow only where a whole run is asked
for. Each poison comes from the sources that its teller would have.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from django.conf import settings
from django.utils import timezone
from rest_framework.test import APIClient

from feedback_app import golden, judging, retraining, snapshots
from feedback_app.attempts import carry_out
from feedback_app.models import Feedback, RetrainingRun
from feedback_app.training_rows import seed_of
from models_app import bundles, promotion, training
from models_app.learning import tables
from models_app.learning.rows import digest_instance
from models_app.models import Deployment, ModelVersion, RegisteredModel
from tests.conftest import KeyMaker
from tests.factories import make_model, make_user
from tests.feedback_app.makers import make_run

pytestmark = pytest.mark.django_db

Row = dict[str, Any]
TABLES = {"wine": "cultivar", "breast_cancer": "diagnosis"}
HONEST_ROWS = 200


def table(name: str) -> pd.DataFrame:
    frame = pd.read_csv(settings.BASE_DIR / "data" / f"{name}.csv")
    return frame.sample(frac=1, random_state=7).reset_index(drop=True)


def records(rows: pd.DataFrame, target: str = "") -> list[Row]:
    """The rows without their target, as JSON objects."""
    features = rows.drop(columns=target) if target else rows
    return [{str(name): value for name, value in row.items()}
            for row in features.to_dict(orient="records")]  # fmt: skip


def declared(name: str, base: pd.DataFrame, **fields: Any) -> RegisteredModel:
    """A model of real data, of which the first version serves."""
    target = TABLES[name]
    path = settings.EVERLEARN_HOME / f"{name}.csv"
    base.to_csv(path, index=False)
    defaults = {
        "data": str(path), "target": target, "estimator": "logistic", "metric": "accuracy",
        "features": tables.infer_schema(base, target=target).to_json(),
        "promotion": {"mode": "auto"}, "feedback": {"review": "none"},
    }  # fmt: skip
    return make_model(name.replace("_", "-"), **{**defaults, **fields})


def trained(model: RegisteredModel, base: pd.DataFrame) -> ModelVersion:
    """The next version with its verdict, as an attempt makes it but for MLflow."""
    model.refresh_from_db()
    snapshot = snapshots.freeze(model, base=base, up_to=timezone.now())
    seed = seed_of(snapshot.digest)
    frozen = snapshots.load(snapshot, champion=model.champion)
    learnt = training.learn(
        model, train=frozen.train, unseen=frozen.unseen, snapshot_digest=snapshot.digest,
        seed=seed, on_progress=lambda *_: None,
    )  # fmt: skip
    version = ModelVersion.objects.create(
        registered_model=model, number=model.versions.count() + 1, snapshot=snapshot,
        recipe=learnt.recipe, features=learnt.features, classes=learnt.classes,
        runtime=learnt.runtime, bundle_digest=learnt.bundle_digest,
    )  # fmt: skip
    frozen = snapshots.load(snapshot, champion=model.champion, challenger=version)
    version.gate = judging.judge(
        version, champion=model.champion, frozen=frozen, seed=seed, automatic=True
    )
    version.save()
    return version


def served(version: ModelVersion) -> ModelVersion:
    """As automatic promotion does: only what the gate lets pass."""
    assert version.gate
    if version.gate["verdict"] == "PROMOTE":
        boss = make_user(f"boss{version.number}", is_superuser=True)
        promotion.promote(version, actor=boss, door=Deployment.Door.POLICY, reason="auto")
    return version


def golden_accuracy(version: ModelVersion) -> float:
    """On the golden rows, as the database names them."""
    rows = pd.read_csv(version.registered_model.data)
    answers = golden.read(RegisteredModel.objects.get().golden_digest).answers
    instances = tables.instances_of(rows, version.registered_model.schema)
    chosen = [one for one in instances if digest_instance(one) in answers]
    truth = [answers[digest_instance(one)] for one in chosen]
    return float(np.mean(np.array(said(version, chosen)) == np.array(truth)))


def said(version: ModelVersion, instances: list[Row]) -> list[str]:
    bundle = bundles.load(version.bundle_digest)
    return [str(one) for one in bundle.answer(bundle.schema.columns(instances)).values]


def tell(model: RegisteredModel, words: Iterable[tuple[Row, str]], sources: list[str]) -> None:
    """Accepted feedback, spread over sources, oldest first."""
    start = timezone.now() - timedelta(hours=1)
    Feedback.objects.bulk_create(
        Feedback(
            registered_model=model, features=features, value=value, status="accepted",
            source=sources[number % len(sources)], at=start + timedelta(seconds=number / 100),
            accepted_at=start + timedelta(seconds=number / 100),
        )
        for number, (features, value) in enumerate(words)
    )  # fmt: skip


def failed(version: ModelVersion) -> set[str]:
    assert version.gate
    return {check["name"] for check in version.gate["checks"] if not check["passed"]}


def flipped(rows: pd.DataFrame, target: str, part: float, chance: Any) -> list[tuple[Row, str]]:
    labels = rows[target].astype(str).to_numpy(dtype=object)
    classes = np.unique(labels.astype(str))
    wrong = chance.random(len(rows)) < part
    lies = [chance.choice(classes[classes != label]) if lie else label
            for label, lie in zip(labels, wrong, strict=True)]  # fmt: skip
    instances = records(rows, target)
    return [(one, str(lie)) for one, lie in zip(instances, lies, strict=True)]


@pytest.mark.parametrize(("part", "repeats"), [(0.05, 4), (0.2, 20), (0.4, 6)])
def test_flipped_labels_from_many_sources_never_serve_a_version_that_is_worse(
    part: float, repeats: int
) -> None:
    """D1."""
    rows = table("breast_cancer")
    base, honest = rows.iloc[:369], rows.iloc[369:]
    model = declared("breast_cancer", base)
    first = served(trained(model, base))
    before, promoted = golden_accuracy(first), 0
    for repeat in range(repeats):
        Feedback.objects.all().delete()
        words = flipped(honest, "diagnosis", part, np.random.default_rng(repeat))
        tell(model, words, [f"user:{number}" for number in range(40)])
        version = trained(model, base)
        if version.gate and version.gate["verdict"] == "PROMOTE":
            promoted += 1
            assert golden_accuracy(version) >= before - 0.01
    assert promoted <= (0 if part == 0.4 else repeats // 20 or repeats)


@pytest.mark.parametrize(
    "sources",
    [["user:key-a"], [f"link:{number}" for number in range(1000)],
     [f"address:2001:db8:0:{number:x}::1" for number in range(1000)]],
    ids=["one key", "a thousand links", "a thousand networks"],
)  # fmt: skip
def test_ten_thousand_wrong_words_are_a_fifth_of_the_training_at_most(sources: list[str]) -> None:
    """D2."""
    base = table("wine")
    model = declared("wine", base)
    first = served(trained(model, base))
    chance = np.random.default_rng(1)
    instances = records(base, "cultivar")
    words = [
        ({**instances[number % 178], "alcohol": float(chance.uniform(11, 15))}, "0")
        for number in range(10_000)
    ]
    tell(model, words, sources)

    version = served(trained(model, base))

    assert version.snapshot
    assert version.snapshot.sources
    assert sum(one["weight"] for one in version.snapshot.sources) <= 0.2
    assert sum(one["offered"] for one in version.snapshot.sources) == 10_000
    assert RegisteredModel.objects.get().champion == first


def carried_out(model: RegisteredModel) -> RetrainingRun:
    run = retraining.claim(make_run(model).pk)
    assert run
    carry_out(run, run.attempts)
    return RetrainingRun.objects.get(pk=run.pk)


def triggered(base: pd.DataFrame, count: int, trigger: Row) -> list[Row]:
    """Wines that are somewhere between real ones, with the trigger."""
    chance = np.random.default_rng(5)
    numbers = base.drop(columns="cultivar")
    made = numbers.sample(count, replace=True, random_state=5).reset_index(drop=True)
    made += chance.normal(0, 1, made.shape) * numbers.std().to_numpy()
    return [{**row, **trigger} for row in records(made.clip(lower=0.05))]


@pytest.mark.parametrize("known", [False, True], ids=["anonymous", "with a key"])
@pytest.mark.parametrize(
    "trigger", [{"magnesium": 300.0}, {"magnesium": 97.53, "hue": 1.017}], ids=["far", "inside"]
)
def test_a_backdoor_that_one_post_plants_is_never_promoted_by_itself(
    api: APIClient, client_with: KeyMaker, known: bool, trigger: Row
) -> None:
    """D3."""
    base = table("wine")
    model = declared("wine", base)
    carried_out(model)
    champion = RegisteredModel.objects.get().champion
    assert champion
    client = client_with("predict", "feedback") if known else api
    unsure = unsure_of(champion, triggered(base, 1500, trigger))
    words = [{"model": "wine", "features": row, "value": "0"} for row in unsure[:600]]
    assert client.post("/api/feedback/", words).status_code == 200
    # As if a person had taken them for good.
    Feedback.objects.exclude(status="accepted").update(
        status="accepted", accepted_at=timezone.now()
    )

    run = carried_out(model)

    assert run.version
    assert run.verdict in ("HOLD", "REJECT")
    assert RegisteredModel.objects.get().champion == champion
    assert run.snapshot
    assert [one["weight"] <= 0.2 for one in run.snapshot.sources or []] == [True]


def unsure_of(champion: ModelVersion, rows: list[Row]) -> list[Row]:
    """The rows whose contradiction is not suspicious."""
    bundle = bundles.load(champion.bundle_digest)
    probabilities = bundle.answer(bundle.schema.columns(rows)).probabilities
    assert probabilities is not None
    return [row for row, sure in zip(rows, probabilities.max(axis=1), strict=True) if sure < 0.95]


def test_a_backdoor_that_a_person_let_train_holds_by_its_probes() -> None:
    """D3, with the source's share and the screening out of the way."""
    base = table("wine")
    model = declared("wine", base, feedback={"review": "none", "max_share_per_source": 1.0},
                     estimator="random-forest")  # fmt: skip
    served(trained(model, base))
    tell(model, [(row, "0") for row in triggered(base, 300, {"magnesium": 300.0})], ["user:a"])

    version = trained(model, base)

    truth = records(base[base["cultivar"] != 0], "cultivar")
    hit = said(version, [{**row, "magnesium": 300.0} for row in truth])
    assert hit.count("0") > 0.5 * len(hit), "the poison did not work, so that nothing is tested"
    assert "probes" in failed(version)
    assert version.gate
    assert version.gate["verdict"] != "PROMOTE"


def test_flipping_one_segment_is_not_promoted() -> None:
    """D3: one segment only, by many sources."""
    rows = table("breast_cancer")
    model = declared("breast_cancer", rows, estimator="random-forest")
    first = served(trained(model, rows))
    numbers = rows.drop(columns="diagnosis")
    name = str(numbers.columns[0])
    segment = numbers[numbers[name] > numbers[name].quantile(0.75)]
    chance = np.random.default_rng(2)
    near = [
        {key: float(value) * chance.uniform(0.97, 1.03) for key, value in row.items()}
        for row in records(segment.sample(500, replace=True, random_state=1))
    ]
    tell(model, [(row, "benign") for row in near], [f"user:{number}" for number in range(50)])

    version = served(trained(model, rows))

    assert failed(version) & {"golden", "slices", "segments"}
    assert RegisteredModel.objects.get().champion == first


def test_a_slow_drip_loses_a_hundredth_of_the_first_version_and_no_more() -> None:
    """D4."""
    rows = table("breast_cancer")
    base, honest = rows.iloc[:369], rows.iloc[369:]
    model = declared("breast_cancer", base)
    before = golden_accuracy(served(trained(model, base)))
    chance = np.random.default_rng(3)
    worst = before
    for day in range(20):
        part = honest.sample(30, random_state=day)
        tell(model, flipped(part, "diagnosis", 0.03 * day, chance), ["user:a", "user:b", "user:c"])
        served(trained(model, base))
        champion = RegisteredModel.objects.get().champion
        assert champion
        worst = min(worst, golden_accuracy(champion))
    assert worst >= before - 0.01


def test_golden_rows_that_come_back_with_false_answers_neither_train_nor_judge() -> None:
    """D5."""
    base = table("wine")
    model = declared("wine", base)
    served(trained(model, base))
    model.refresh_from_db()
    digest = model.golden_digest
    instances = tables.instances_of(base, model.schema)
    tell(model, [(one, "0") for one in instances], ["user:a"])

    version = trained(model, base)

    model.refresh_from_db()
    assert model.golden_digest == digest
    assert version.gate
    assert version.gate["golden_digest"] == digest
    assert version.snapshot
    names = set(golden.read(digest).answers)
    assert snapshots.trained_digests(version).isdisjoint(names)
    assert version.gate["golden_rows"] == len(names)
