from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied
from pydantic import ValidationError

from models_app import policies
from models_app.actors import system_user
from models_app.models import RegisteredModel
from tests.factories import make_champion, make_model, make_user

pytestmark = pytest.mark.django_db


def test_saving_policies_does_not_undo_a_promotion_made_meanwhile() -> None:
    make_champion()
    read_before = RegisteredModel.objects.get()
    version = make_champion(read_before)

    policies.change(read_before, {"promotion": {"mode": "auto"}}, actor=system_user("cli"))

    model = RegisteredModel.objects.get()
    assert (model.champion, model.generation) == (version, 2)
    assert model.promotion["mode"] == "auto"


def test_a_policy_that_makes_no_sense_is_refused() -> None:
    model = make_model()

    with pytest.raises(ValidationError, match="margin"):
        policies.change(model, {"promotion": {"margin": "wide"}}, actor=system_user("cli"))

    assert RegisteredModel.objects.get().promotion == {}


def test_not_even_a_manager_changes_the_gate() -> None:
    model, manager = make_model(), make_user(groups=("manager",))

    with pytest.raises(PermissionDenied, match="change_registeredmodel"):
        policies.change(model, {"promotion": {"margin": 0.0}}, actor=manager)

    assert RegisteredModel.objects.get().promotion == {}
