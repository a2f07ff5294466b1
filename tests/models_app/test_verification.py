"""Hostile versions in MLflow (S1, S10): each costs itself a reason, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from typing import Any

import pytest
from django.conf import settings
from rest_framework.test import APIClient

from models_app import bundle_signatures, bundles, importing, promotion, reconciling, registry
from models_app.child_process import Limits, carry_out
from models_app.learning.schema import Feature, Schema
from models_app.models import Deployment, ModelVersion, RegisteredModel, RegistryAlias
from models_app.refusals import BundleRefused, NotServable
from models_app.verification import refuse_other_features
from tests.conftest import KeyMaker
from tests.factories import SCHEMA, make_model, make_user
from tests.models_app import hostile


@pytest.fixture
def model(db: None) -> RegisteredModel:
    return make_model(f"leaves-{uuid.uuid4().hex[:8]}")


def why(model: RegisteredModel, number: int) -> str:
    version = model.versions.get(number=number)
    assert not version.servable
    return version.unservable_because


def test_who_may_only_write_to_mlflow_gets_nothing_served(
    model: RegisteredModel, client_with: KeyMaker
) -> None:
    """S1: an unsigned bundle, one with the signature of another, and the alias moved to them."""
    champion = hostile.champion_in_mlflow(model)
    files, digest = hostile.sound(model)
    unsigned = hostile.register(model, files, digest)
    borrowed = {**files, **hostile.signed({}, champion.bundle_digest)}
    other = hostile.register(model, borrowed, digest)
    hostile.others().set_registered_model_alias(model.name, "prod", str(unsigned))

    reconciling.reconcile([model])

    assert why(model, unsigned).startswith("signature_invalid")
    assert why(model, other).startswith("signature_invalid")
    assert promotion.newest(model).version == champion
    alias = RegistryAlias.objects.get(registered_model=model, alias="prod")
    assert alias.held_for_review == unsigned
    with pytest.raises(NotServable) as refusal:
        promotion.promote(
            model.versions.get(number=unsigned), actor=make_user("boss", is_superuser=True),
            door=Deployment.Door.ADMIN, reason="I insist", override=True,
        )  # fmt: skip
    assert refusal.value.code == "signature_invalid"
    caller: APIClient = client_with("read", "promote")
    path = f"/api/models/{model.name}"
    asked = caller.post(f"{path}/versions/{unsigned}/predict/", {"instances": []})
    assert asked.status_code in {400, 422}
    back = caller.post(f"{path}/rollback/", {"to": unsigned, "reason": "try"})
    assert back.json()["errors"][0]["code"] == "never_served"


def test_a_superuser_may_answer_for_a_version_and_the_log_says_so(model: RegisteredModel) -> None:
    number = hostile.register(model, *hostile.sound(model))
    reconciling.reconcile([model])
    version = model.versions.get(number=number)
    boss = make_user("boss", is_superuser=True)

    signed = bundle_signatures.sign_version(version, actor=boss, reason="made by our lab")

    assert signed.servable
    assert bundles.load(ModelVersion.objects.get(pk=version.pk).bundle_digest).name == model.name
    from django.contrib.admin.models import LogEntry

    line = LogEntry.objects.get(user=boss)
    assert signed.bundle_digest in line.change_message
    assert "made by our lab" in line.change_message


def test_a_signed_bundle_that_asks_for_other_features_is_refused_with_the_difference(
    model: RegisteredModel,
) -> None:
    features = [feature | {"required": False} for feature in SCHEMA.to_json()]
    files, digest = hostile.sound(model, features=features)
    number = hostile.register(model, hostile.signed(files, digest), digest)

    reconciling.reconcile([model])

    assert why(model, number).startswith("features_differ")
    assert "'length' is optional number, declared as required number" in why(model, number)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((Feature("path", "text"), Feature("width", "number")), "'length' is missing"),
        ((*SCHEMA.features, Feature("path", "text")), "'path' is not declared"),
        ((Feature("length", "text"), Feature("width", "number")), "'length' is required text"),
        ((Feature("length", "number", required=False), SCHEMA.features[1]), "optional number"),
    ],
)
def test_every_difference_of_features_is_named(given: tuple[Feature, ...], said: str) -> None:
    with pytest.raises(BundleRefused, match=said) as refusal:
        refuse_other_features(SCHEMA, Schema(given))

    assert refusal.value.code == "features_differ"


def test_categories_and_order_are_each_versions_own() -> None:
    color = Feature("color", "category")
    seen = Feature("color", "category", categories=("blue", "red"))

    refuse_other_features(Schema((*SCHEMA.features, color)), Schema((seen, *SCHEMA.features)))


def test_a_loop_that_never_ends_costs_its_version_and_the_next_have_their_turn(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S10, with a stolen key: the child's processor time is bounded."""
    monkeypatch.setattr(importing, "CPU_SECONDS", 15)
    monkeypatch.setattr(importing, "SECONDS", 240)
    files, digest = hostile.with_graph(model, hostile.endless_graph())
    endless = hostile.register(model, hostile.signed(files, digest), digest)
    good, good_digest = hostile.sound(model)
    sound = hostile.register(model, hostile.signed(good, good_digest), good_digest)

    reconciling.reconcile([model])

    assert why(model, endless).partition(":")[0] in {"verification_failed", "artifact_untrusted"}
    assert model.versions.get(number=sound).servable
    assert model.versions.get(number=endless).verify_again_at is None
    began = time.monotonic()
    reconciling.reconcile([model])
    assert time.monotonic() - began < 5  # nothing is verified again


def test_files_that_are_too_long_together_are_refused(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, digest = hostile.sound(model)
    number = hostile.register(model, hostile.signed(files, digest), digest)
    monkeypatch.setattr(importing, "MOST_BYTES", len(files["manifest.json"]) + 10)

    reconciling.reconcile([model])

    assert "more than the" in why(model, number)


CRASH = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
SPIN = "while True: pass"
SLEEP = "import time; time.sleep(600)"
EAT = "x = [bytearray(2**20) for _ in range(100_000)]"
LIE = "print('{\"row\": ')"


@pytest.mark.parametrize(
    ("script", "again"), [(CRASH, False), (SPIN, False), (EAT, False), (SLEEP, True), (LIE, True)]
)
def test_a_child_that_is_lost_costs_that_version_alone(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch, script: str, again: bool
) -> None:
    """A crash, a loop and a blow-up are for good; what a busy machine explains is tried again."""
    monkeypatch.setattr(importing, "COMMAND", (sys.executable, "-c", script))
    monkeypatch.setattr(importing, "CPU_SECONDS", 2)
    monkeypatch.setattr(importing, "MEMORY", 300 * 2**20)
    monkeypatch.setattr(importing, "SECONDS", 15 if script == SPIN else 4)
    first = hostile.register(model, *hostile.sound(model))
    other = make_model(f"trees-{uuid.uuid4().hex[:8]}", is_default=False)
    hostile.others().create_registered_model(other.name)
    hostile.others().create_model_version(other.name, settings.EVERLEARN_HOME.as_uri())

    reconciling.reconcile([model, other])

    assert why(model, first).startswith("verification_failed")
    version = model.versions.get(number=first)
    assert (version.verify_again_at is not None) is again
    assert other.versions.count() == 1


def test_a_child_that_is_lost_again_and_again_is_given_up(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "COMMAND", (sys.executable, "-c", LIE))
    number = hostile.register(model, *hostile.sound(model))
    for _ in range(importing.MOST_LOSSES):
        model.versions.update(verify_again_at="2000-01-01T00:00Z")
        reconciling.reconcile([model])

    assert model.versions.get(number=number).verify_again_at is None


@pytest.mark.parametrize("error", [ValueError("no such scheme"), KeyError("x"), RecursionError()])
def test_what_one_model_makes_mlflow_raise_does_not_stop_the_others(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    other = make_model(f"trees-{uuid.uuid4().hex[:8]}", is_default=False)
    hostile.others().create_registered_model(other.name)
    hostile.others().create_model_version(other.name, settings.EVERLEARN_HOME.as_uri())
    real = registry.describe

    def describe(name: str) -> Any:
        if name == model.name:
            raise error
        return real(name)

    monkeypatch.setattr(registry, "describe", describe)

    reconciling.reconcile([model, other])

    assert other.versions.count() == 1


def test_limits_hold_for_the_files_and_the_reserved_memory_of_a_child() -> None:
    limits = Limits(address_space=2**30, file_size=2**20)
    writes = "import sys; open('/dev/shm/x', 'wb').write(b'x' * 2**21)"
    maps = "import mmap; mmap.mmap(-1, 2**31)"

    for script in (writes, maps):
        command = [sys.executable, "-c", f"import time; time.sleep(0.5); {script}"]
        ended = carry_out(command, given=b"", seconds=30, limits=limits)
        assert ended.returncode not in {0, None}, ended.errors


def test_the_child_asks_no_database(model: RegisteredModel) -> None:
    request = {
        "name": model.name, "task": model.task, "features": model.features,
        "source": "models:/m-0", "digest": "0" * 64, "most": 10,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "manage.py", "verify_version"],
        input=json.dumps(request), text=True, capture_output=True, check=False,
        cwd=settings.BASE_DIR,
        env={**os.environ, "DATABASE_URL": "postgres://x:y@127.0.0.1:9/none"},
    )  # fmt: skip

    assert json.loads(done.stdout)["refused"].startswith("signature_invalid")
