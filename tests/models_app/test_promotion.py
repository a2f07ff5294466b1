from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.core.exceptions import PermissionDenied

from models_app import promotion
from models_app.models import Deployment, ModelVersion, RegisteredModel, RegistryAlias
from models_app.refusals import Conflict, GateSaidNo, GenerationMoved, InvalidInput, NotServable
from tests.factories import make_champion, make_gate, make_model, make_user, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def manager() -> User:
    user = make_user("grace")
    user.user_permissions.add(Permission.objects.get(codename="promote_registeredmodel"))
    return user


@pytest.fixture
def promote(manager: User) -> Callable[..., Deployment]:
    def do(version: ModelVersion, **options: object) -> Deployment:
        options = {"actor": manager, "door": Deployment.Door.API, "reason": "better", **options}
        return promotion.promote(version, **options)  # type: ignore[arg-type]

    return do


@pytest.fixture
def roll_back(manager: User) -> Callable[..., Deployment]:
    def do(**options: object) -> Deployment:
        model = RegisteredModel.objects.get()
        options = {"actor": manager, "door": Deployment.Door.CLI, "reason": "worse", **options}
        return promotion.rollback(model, **options)  # type: ignore[arg-type]

    return do


def serving() -> tuple[int | None, int]:
    model = RegisteredModel.objects.get()
    return (model.champion.number if model.champion else None), model.generation


def test_what_the_gate_leaves_to_a_person_needs_no_override(promote) -> None:
    make_champion()
    gate = make_gate("HOLD", against=1) | {"left_to_a_person": True}

    promote(make_version(gate=gate))

    assert serving() == (2, 2)


def test_promotion_moves_the_champion_and_writes_one_line(
    promote: Callable[..., Deployment], manager: User
) -> None:
    first, second = make_champion(), make_version()

    line = promote(second)

    assert serving() == (2, 2)
    assert (line.version, line.previous, line.generation) == (second, first, 2)
    assert (line.actor, line.door, line.action) == (manager, "api", "promote")
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.status, second.status) == ("retired", "champion")


def test_promoting_what_serves_changes_nothing(promote: Callable[..., Deployment]) -> None:
    champion = make_champion()

    line = promote(champion)

    assert line.generation == 1
    assert Deployment.objects.count() == 1


def test_a_decision_made_on_an_older_generation_is_refused(
    promote: Callable[..., Deployment],
) -> None:
    make_champion()
    version = make_version()

    with pytest.raises(GenerationMoved) as refusal:
        promote(version, expected_generation=0)

    assert refusal.value.generation == 1
    assert serving() == (1, 1)


@pytest.mark.parametrize(
    ("gate", "code"),
    [
        (None, "evaluation_missing"),
        (make_gate("REJECT", against=1), "gate_failed"),
        (make_gate("HOLD", against=1), "gate_failed"),
        (make_gate("PROMOTE", against=None), "evaluation_stale"),
    ],
)
def test_what_the_gate_did_not_pass_is_refused(
    promote: Callable[..., Deployment], gate: dict[str, object] | None, code: str
) -> None:
    make_champion()
    version = make_version(gate=gate)

    with pytest.raises(GateSaidNo) as refusal:
        promote(version)

    assert refusal.value.code == code
    assert serving() == (1, 1)


def test_the_gate_is_overridden_only_by_those_who_may_and_the_ledger_says_so(
    promote: Callable[..., Deployment], manager: User
) -> None:
    make_champion()
    version = make_version(gate=make_gate("REJECT", against=1))
    with pytest.raises(PermissionDenied):
        promote(version, override=True)

    manager.user_permissions.add(Permission.objects.get(codename="override_gate"))
    line = promote(version, override=True, actor=User.objects.get(pk=manager.pk))

    assert line.override
    assert serving() == (2, 2)


def test_nobody_promotes_without_permission_or_reason(promote: Callable[..., Deployment]) -> None:
    make_champion()
    version = make_version()

    with pytest.raises(PermissionDenied):
        promote(version, actor=make_user("bob"))
    with pytest.raises(InvalidInput):
        promote(version, reason="  ")

    assert serving() == (1, 1)


def test_a_version_without_a_bundle_never_serves(promote: Callable[..., Deployment]) -> None:
    make_champion()

    for version in (make_version(bundle_digest=""), make_version(unservable_because="untrusted")):
        with pytest.raises(NotServable):
            promote(version)

    assert serving() == (1, 1)


def test_a_bundle_that_is_damaged_is_found_before_anything_moves(
    promote: Callable[..., Deployment],
) -> None:
    make_champion()
    version = make_version(bundle_digest="f" * 64)

    with pytest.raises(NotServable) as refusal:
        promote(version)

    assert refusal.value.code == "bundle_unavailable"
    assert serving() == (1, 1)


def test_rolling_back_is_a_new_generation_of_an_old_version(
    promote: Callable[..., Deployment], roll_back: Callable[..., Deployment]
) -> None:
    make_champion()
    promote(make_version())

    line = roll_back()

    assert (line.action, line.generation) == ("rollback", 3)
    assert serving() == (1, 3)


def test_rolling_back_twice_goes_two_versions_back(
    promote: Callable[..., Deployment], roll_back: Callable[..., Deployment]
) -> None:
    make_champion()
    promote(make_version())
    promote(make_version())

    roll_back()
    roll_back()

    assert serving() == (1, 5)


def test_there_must_be_something_to_roll_back_to(roll_back: Callable[..., Deployment]) -> None:
    make_champion()

    with pytest.raises(Conflict):
        roll_back()
    with pytest.raises(Conflict) as refusal:
        roll_back(to=make_version())

    assert refusal.value.code == "never_served"
    assert serving() == (1, 1)


def test_rolling_back_to_a_bundle_that_is_gone_changes_nothing(
    promote: Callable[..., Deployment], roll_back: Callable[..., Deployment]
) -> None:
    gone = make_champion()
    promote(make_version())
    ModelVersion.objects.filter(pk=gone.pk).update(bundle_digest="f" * 64)

    with pytest.raises(Conflict) as refusal:
        roll_back()

    assert refusal.value.code == "bundle_unavailable"
    assert serving() == (2, 2)


def test_what_mlflow_should_say_is_written_with_the_promotion() -> None:
    make_champion()

    alias = RegistryAlias.objects.get(alias="prod")
    assert (alias.number, alias.mirrored) == (1, None)


def test_models_are_promoted_independently(promote: Callable[..., Deployment]) -> None:
    make_champion()
    other = make_model("other")

    promote(make_version(other))

    assert RegisteredModel.objects.get(name="leaves").generation == 1
    assert RegisteredModel.objects.get(name="other").generation == 1


def test_a_cached_copy_is_enough_to_roll_back(
    promote: Callable[..., Deployment], roll_back: Callable[..., Deployment]
) -> None:
    first = make_champion()
    promote(make_version(turned=True))
    stored = settings.EVERLEARN_HOME / "storage" / "bundles" / first.bundle_digest
    aside = stored.rename(stored.with_suffix(".aside"))
    try:
        roll_back()
    finally:
        shutil.move(aside, stored)

    assert serving() == (1, 3)
