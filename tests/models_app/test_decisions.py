from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from models_app import promotion
from models_app.models import (
    Deployment,
    RegisteredModel,
)
from tests.factories import (
    make_gate,
    make_user,
    make_version,
)
from tests.staff import page_of

pytestmark = pytest.mark.django_db


def decision(generation: int = 1, **fields: Any) -> dict[str, Any]:
    return {"expected_generation": generation, "reason": "It is better", **fields}


@pytest.mark.parametrize("verb", ["promote", "roll_back_to"])
def test_a_viewer_has_no_button_on_a_version_and_is_refused_at_its_address(
    viewer: Client, rows: RegisteredModel, verb: str
) -> None:
    version = make_version(rows)

    assert page_of(version, verb) not in viewer.get(page_of(version)).text
    assert viewer.get(page_of(version, verb)).status_code == 403
    assert viewer.post(page_of(version, verb), decision()).status_code == 403
    assert Deployment.objects.count() == 1


def test_a_viewer_has_no_button_on_a_model_and_is_refused_at_its_address(
    viewer: Client, rows: RegisteredModel
) -> None:
    assert page_of(rows, "roll_back") not in viewer.get(page_of(rows)).text
    assert viewer.post(page_of(rows, "roll_back"), decision()).status_code == 403


def test_promotion_is_asked_for_with_both_versions_side_by_side(
    manager: Client, rows: RegisteredModel
) -> None:
    version = make_version(rows, metrics={"balanced_accuracy": 0.95})

    assert page_of(version, "promote") in manager.get(page_of(version)).text
    page = manager.get(page_of(version, "promote")).text

    for shown in ("0.9", "0.95", "+0.05", "Generation 1", "PROMOTE"):
        assert shown in page
    assert 'name="expected_generation" value="1"' in page
    assert rows.deployments.count() == 1


def test_a_manager_promotes_with_a_reason(manager: Client, rows: RegisteredModel) -> None:
    version = make_version(rows)

    page = manager.post(page_of(version, "promote"), decision(), follow=True).text

    line = Deployment.objects.latest("pk")
    assert (line.version, line.generation, line.reason) == (version, 2, "It is better")
    assert (line.door, line.actor.username, line.override) == ("admin", "max", False)
    assert "leaves v2 serves, as generation 2." in page


def test_nothing_is_promoted_without_a_reason(manager: Client, rows: RegisteredModel) -> None:
    response = manager.post(page_of(make_version(rows), "promote"), decision(reason=" "))

    assert response.status_code == 400
    assert Deployment.objects.count() == 1


def test_a_decision_on_a_generation_that_moved_on_is_refused_in_words(
    manager: Client, rows: RegisteredModel
) -> None:
    first, second = make_version(rows), make_version(rows)
    manager.post(page_of(first, "promote"), decision(1))

    page = manager.post(page_of(second, "promote"), decision(1), follow=True).text

    assert "generation 1 no longer serves leaves" in page
    assert RegisteredModel.objects.get().champion == first


def test_the_gate_stops_a_manager_who_is_offered_no_override(
    manager: Client, rows: RegisteredModel
) -> None:
    version = make_version(rows, gate=make_gate("REJECT", against=1))

    assert 'name="override"' not in manager.get(page_of(version, "promote")).text
    page = manager.post(page_of(version, "promote"), decision(override="on"), follow=True).text

    assert "the gate said REJECT" in page
    assert RegisteredModel.objects.get().champion == rows.champion


def test_who_may_override_the_gate_does_so_on_the_record(
    boss: Client, rows: RegisteredModel
) -> None:
    version = make_version(rows, gate=make_gate("REJECT", against=1))

    assert 'name="override"' in boss.get(page_of(version, "promote")).text
    boss.post(page_of(version, "promote"), decision(override="on"))

    line = Deployment.objects.latest("pk")
    assert (line.version, line.override) == (version, True)
    assert "overridden" in boss.get(reverse("admin:models_app_deployment_changelist")).text


def test_the_version_that_serves_offers_no_promotion(
    manager: Client, rows: RegisteredModel
) -> None:
    assert page_of(rows.champion, "promote") not in manager.get(page_of(rows.champion)).text


@pytest.fixture
def moved_on(rows: RegisteredModel) -> RegisteredModel:
    """A model whose second version serves."""
    promotion.promote(
        make_version(rows), actor=make_user("eve", is_superuser=True),
        door=Deployment.Door.CLI, reason="better",
    )  # fmt: skip
    return RegisteredModel.objects.get(pk=rows.pk)


def test_a_manager_rolls_back_to_what_served_before(
    manager: Client, moved_on: RegisteredModel
) -> None:
    page = manager.post(page_of(moved_on, "roll_back"), decision(2), follow=True).text

    line = Deployment.objects.latest("pk")
    assert (line.version.number, line.generation, line.action) == (1, 3, "rollback")
    assert (line.door, line.actor.username, line.reason) == ("admin", "max", "It is better")
    assert "leaves v1 serves again, as generation 3." in page


def test_a_version_that_served_leads_to_its_rollback(
    manager: Client, moved_on: RegisteredModel
) -> None:
    first = moved_on.versions.get(number=1)

    assert page_of(first, "roll_back_to") in manager.get(page_of(first)).text
    page = manager.get(page_of(first, "roll_back_to"), follow=True).text

    assert f'<option value="{first.pk}" selected>' in page
    manager.post(page_of(moved_on, "roll_back"), decision(2, to=first.pk))
    assert RegisteredModel.objects.get().champion == first


def test_a_version_that_never_served_is_no_choice_to_go_back_to(
    manager: Client, moved_on: RegisteredModel
) -> None:
    candidate = make_version(moved_on)

    assert page_of(candidate, "roll_back_to") not in manager.get(page_of(candidate)).text
    response = manager.post(page_of(moved_on, "roll_back"), decision(2, to=candidate.pk))

    assert response.status_code == 400
    assert Deployment.objects.count() == 2


def test_a_rollback_decided_on_an_old_page_is_refused_in_words(
    manager: Client, moved_on: RegisteredModel
) -> None:
    response = manager.post(page_of(moved_on, "roll_back"), decision(1), follow=True)

    assert "generation 1 no longer serves" in response.text
    assert Deployment.objects.count() == 2


def test_with_nothing_to_go_back_to_the_page_says_so(
    manager: Client, rows: RegisteredModel
) -> None:
    page = manager.post(page_of(rows, "roll_back"), decision(1), follow=True).text

    assert "no earlier version to go back to" in page
