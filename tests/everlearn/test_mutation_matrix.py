"""A1: the matrix of roles and actions, tried at the functions behind all doors, and in a shell."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command

from everlearn import key_rolling, keys, sessions, two_factor
from everlearn.access import ACTIONS, USUAL_SCOPES
from everlearn.doors import ANYBODY, COMMANDS
from feedback_app import erasing, exporting, golden, golden_tables, intake, retraining
from feedback_app.intake import Speaker, Word
from feedback_app.models import RetrainingRun
from feedback_app.training_rows import rows_of
from models_app import applying, bundle_signatures, policies, promotion, reloading
from models_app.actors import system_user
from models_app.models import Deployment, ModelVersion, RegisteredModel
from tests.everlearn.routes import STAFF, may, staff_member
from tests.factories import (
    LONG,
    leaves,
    make_champion,
    make_gate,
    make_model,
    make_user,
    make_version,
)
from tests.feedback_app.makers import make_prediction, make_run

pytestmark = pytest.mark.django_db

DOOR = Deployment.Door.API


def _model() -> RegisteredModel:
    return RegisteredModel.objects.get()


def _newest() -> ModelVersion:
    return ModelVersion.objects.latest("number")


def _override(actor: User) -> None:
    turned_away = make_version(_model(), gate=make_gate("REJECT"))
    promotion.promote(turned_away, actor=actor, door=DOOR, reason="x", override=True)


def _give_feedback(actor: User) -> None:
    word = Word(value="oak", model="leaves", features=LONG)
    intake.record(word, speaker=Speaker(user=actor))


def _start_run(actor: User) -> None:
    retraining.request(_model(), actor=actor, trigger=RetrainingRun.Trigger.MANUAL)


# Every function that changes something for somebody, and the action it is.
MUTATIONS: dict[str, tuple[str, Callable[[User], Any]]] = {
    "promote": (
        "promote",
        lambda actor: promotion.promote(_newest(), actor=actor, door=DOOR, reason="x"),
    ),
    "rollback": (
        "promote",
        lambda actor: promotion.rollback(_model(), actor=actor, door=DOOR, reason="x"),
    ),
    "promote against the gate": ("override", _override),
    "start a run": ("retrain", _start_run),
    "cancel a run": ("retrain", lambda actor: retraining.cancel(make_run(_model()), actor=actor)),
    "reload": (
        "reload",
        lambda actor: reloading.reload(_model(), actor=actor, patience=timedelta(0)),
    ),
    "give feedback on a private model": ("feedback", _give_feedback),
    "change policies": (
        "policies",
        lambda actor: policies.change(_model(), {"promotion": {"mode": "auto"}}, actor=actor),
    ),
    "pin golden rows": (
        "policies",
        lambda actor: golden.pin(_model(), [(LONG, "oak")], actor=actor, reason="x"),
    ),
    "declare models": ("policies", lambda actor: applying.apply([], actor=actor)),
    "sign bundles anew": (
        "signing",
        lambda actor: bundle_signatures.sign_anew(actor=actor),
    ),
    "make a key": ("keys", lambda actor: keys.create_key("new", ["read"], actor=actor)),
    "revoke a key": ("keys", lambda actor: keys.revoke_key("old", actor=actor)),
    "limit a key": ("keys", lambda actor: keys.limit_to_networks("old", ["::1"], actor=actor)),
    "roll a key": (
        "keys",
        lambda actor: key_rolling.roll_key("old", actor=actor, overlap=timedelta(hours=1)),
    ),
    "end sessions of another": (
        "accounts",
        lambda actor: sessions.end_sessions_of(system_user("cli"), actor=actor),
    ),
    "reset a two-factor login": (
        "accounts",
        lambda actor: two_factor.reset(system_user("cli"), actor=actor),
    ),
    "forget a subject": (
        "privacy",
        lambda actor: erasing.forget("ada", actor=actor, patience=timedelta(0)),
    ),
    "export a subject": ("privacy", lambda actor: list(exporting.export("ada", actor=actor))),
}
ROLES = (*STAFF, *USUAL_SCOPES, "a superuser's key")


@pytest.fixture(autouse=True)
def _rows() -> None:
    """A private model that has served two versions and has a third that the gate let past."""
    make_champion(make_model(public=False))
    make_champion(_model())
    make_prediction(make_version(_model()), subject="ada")
    keys.create_key("old", ["read"], actor=system_user("cli"))
    golden_tables.choose(_model(), rows_of(_model(), leaves(20)))


def _actor(role: str) -> User:
    if role in STAFF:
        return staff_member(role)
    account = make_user("root", is_superuser=True)
    scopes = USUAL_SCOPES.get(role, ("read",))
    key = keys.create_key(f"test-{uuid.uuid4().hex[:12]}", scopes, actor=account)
    holder = keys.verify(key.encode())
    if role not in USUAL_SCOPES:
        # A superuser's own account, behind a key of every scope there is and of what is none.
        holder.is_superuser = True
        holder.narrow_to(list(ACTIONS))
    return holder


def _expected(role: str, action: str) -> bool:
    if role == "a superuser's key":
        return "key" in ACTIONS[action].roles
    return may(role, action)


@pytest.mark.parametrize(("name", "role"), list(itertools.product(MUTATIONS, ROLES)))
def test_a_mutation_is_done_for_exactly_those_whom_the_table_names(name: str, role: str) -> None:
    action, mutate = MUTATIONS[name]
    actor, before = _actor(role), _model().generation

    if _expected(role, action):
        mutate(actor)
    else:
        with pytest.raises(PermissionDenied):
            mutate(actor)
        assert _model().generation == before
        assert not RetrainingRun.objects.exclude(status="queued").exists()


SHELL = {
    "promote": ["leaves", "3", "--reason", "x"],
    "rollback": ["leaves", "--reason", "x"],
    "train": ["leaves"],
    "apply": ["{file}"],
    "create_api_key": ["new", "--scopes", "read"],
    "revoke_api_key": ["old"],
    "roll_api_key": ["old"],
    "end_sessions": ["cli"],
    "reset_totp": ["cli"],
    "set_key_quotas": ["old", "--rows-per-day", "5"],
    "sign_bundle": ["leaves", "3", "--reason", "x"],
    "rotate_bundle_key": [],
    "prune": [],
    "forget": ["--subject", "ada"],
    "export_subject": ["--subject", "ada"],
    "training_data": ["leaves", "--format", "csv"],
    "pin": ["leaves", "{pins}", "--reason", "x"],
}


def test_every_command_that_is_guarded_is_tried() -> None:
    assert set(SHELL) == {name for name, action in COMMANDS.items() if action != ANYBODY}


@pytest.mark.parametrize(("command", "role"), list(itertools.product(SHELL, STAFF)))
def test_a_command_does_for_a_user_what_the_user_may(
    tmp_path: Path, command: str, role: str
) -> None:
    """A1: `--as USER` in the shell."""
    file = tmp_path / "everlearn.toml"
    file.write_text(f'[models.leaves]\ndata = "{_model().data}"\ntarget = "kind"\n')
    pins = tmp_path / "pins.csv"
    pins.write_text("length,width,kind\n9,1,oak\n")
    words = [word.format(file=file, pins=pins) for word in SHELL[command]]
    user = staff_member(role)

    if may(role, COMMANDS[command]):
        call_command(command, *words, "--as", user.username)
    else:
        with pytest.raises(CommandError, match="needs"):
            call_command(command, *words, "--as", user.username)
