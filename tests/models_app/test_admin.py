from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.test import Client
from django.urls import reverse

from models_app import promotion, serving
from models_app.models import (
    Deployment,
    ModelVersion,
    Prediction,
    RegisteredModel,
    RegistryAlias,
    TrainingSnapshot,
    WebProcess,
)
from tests.factories import (
    LONG,
    make_champion,
    make_gate,
    make_model,
    make_user,
    make_version,
)

pytestmark = pytest.mark.django_db

WRITTEN_BY_THE_SYSTEM = [
    ModelVersion, Deployment, Prediction, RegistryAlias, WebProcess, TrainingSnapshot,
]  # fmt: skip


def staff(username: str = "max", *groups: str, **fields: Any) -> Client:
    client = Client(HTTP_ACCEPT="text/html")
    client.force_login(make_user(username, groups=groups, is_staff=True, **fields))
    return client


@pytest.fixture
def viewer() -> Client:
    return staff("vera", "viewer")


@pytest.fixture
def manager() -> Client:
    return staff("max", "manager")


@pytest.fixture
def boss() -> Client:
    return staff("boss", is_superuser=True)


@pytest.fixture
def rows() -> RegisteredModel:
    """One row of everything."""
    version = make_champion(metrics={"balanced_accuracy": 0.9})
    model = version.registered_model
    serving.predict(model.name, [LONG], client=None)
    snapshot = TrainingSnapshot.objects.create(
        registered_model=model, digest="5f" * 32, rows=142, feedback_rows=12
    )
    ModelVersion.objects.update(snapshot=snapshot)
    WebProcess.objects.create(host="here", pid=1)
    return model


def page_of(thing: Model | None, verb: str = "change") -> str:
    assert thing is not None
    options = thing._meta
    return reverse(f"admin:{options.app_label}_{options.model_name}_{verb}", args=[thing.pk])


def decision(generation: int = 1, **fields: Any) -> dict[str, Any]:
    return {"expected_generation": generation, "reason": "It is better", **fields}


@pytest.mark.parametrize("kind", [RegisteredModel, *WRITTEN_BY_THE_SYSTEM])
def test_a_viewer_can_open_every_list_and_every_row(
    viewer: Client, rows: RegisteredModel, kind: Any
) -> None:
    options = kind._meta
    listed = reverse(f"admin:{options.app_label}_{options.model_name}_changelist")

    assert viewer.get(listed).status_code == 200
    assert viewer.get(page_of(kind.objects.first())).status_code == 200


@pytest.mark.parametrize("kind", WRITTEN_BY_THE_SYSTEM)
def test_not_even_a_superuser_adds_edits_or_deletes_what_the_system_writes(
    boss: Client, rows: RegisteredModel, kind: Any
) -> None:
    row, options = kind.objects.first(), kind._meta
    before = kind.objects.values().get(pk=row.pk)
    add = reverse(f"admin:{options.app_label}_{options.model_name}_add")

    for path in (add, page_of(row), page_of(row, "delete")):
        assert boss.post(path, {"reason": "x", "number": 9, "post": "yes"}).status_code == 403
    assert kind.objects.values().get(pk=row.pk) == before


def test_a_model_is_neither_added_nor_deleted_here(boss: Client, rows: RegisteredModel) -> None:
    add = reverse("admin:models_app_registeredmodel_add")

    assert boss.post(add, {"name": "new"}).status_code == 403
    assert boss.post(page_of(rows, "delete"), {"post": "yes"}).status_code == 403


def test_the_gate_report_shows_every_check_with_its_value_and_limit(viewer: Client) -> None:
    gate = make_gate("HOLD", against=1)
    gate["checks"] = [
        {"name": "min_rows", "passed": True, "value": 412.0, "limit": 30.0},
        {"name": "interval", "passed": False, "value": -0.0123, "limit": 0.0},
        {"name": "golden", "passed": False, "value": None, "limit": -0.05},
    ]
    version = make_version(gate=gate)

    page = viewer.get(page_of(version)).text

    assert "against version 1, on 40 unseen rows" in page
    for shown in ("HOLD", "412", "30", "-0.0123", "-0.05", "Not worse on the golden rows"):
        assert shown in page
    assert page.count("pass\n") == 1
    assert page.count("fail\n") == 2


def test_a_version_leads_to_the_rows_that_it_learnt_from(
    viewer: Client, rows: RegisteredModel
) -> None:
    snapshot = TrainingSnapshot.objects.get()

    page = viewer.get(page_of(rows.champion)).text

    assert page_of(snapshot) in page
    assert snapshot.digest in page
    assert "142" in page


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


def policies(**changed: str) -> dict[str, str]:
    return {
        "retrain_cooldown": "1h", "promotion_mode": "manual", "promotion_margin": "0.005",
        "promotion_min_rows": "30", "promotion_external": "follow",
        "feedback_review": "suspicious", "feedback_weight": "1",
        "feedback_max_share_per_source": "0.2", **changed,
    }  # fmt: skip


def test_policies_are_changed_and_nothing_else(boss: Client, rows: RegisteredModel) -> None:
    sent = policies(retrain_schedule="0 3 * * *", retrain_feedback="50", name="x", generation="9")

    boss.post(page_of(rows), sent)

    model = RegisteredModel.objects.get()
    assert model.retrain == {"schedule": "0 3 * * *", "feedback": 50, "cooldown": "1h"}
    assert (model.name, model.generation) == ("leaves", 1)


def test_saving_policies_does_not_undo_a_promotion_made_meanwhile(rows: RegisteredModel) -> None:
    opened = RegisteredModel.objects.get()
    version = make_champion(rows)

    opened.promotion = {"mode": "auto"}
    admin.site._registry[RegisteredModel].save_model(HttpRequest(), opened, None, change=True)

    model = RegisteredModel.objects.get()
    assert (model.champion, model.generation) == (version, 2)
    assert model.promotion == {"mode": "auto"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("retrain_schedule", "every night"),
        ("retrain_cooldown", "soon"),
        ("retrain_feedback", "0"),
        ("promotion_mode", "always"),
        ("promotion_margin", "2"),
        ("promotion_margin", ""),
        ("feedback_max_share_per_source", "0"),
    ],
)
def test_a_policy_that_makes_no_sense_is_told_beside_its_field(
    boss: Client, rows: RegisteredModel, field: str, value: Any
) -> None:
    response = boss.post(page_of(rows), policies(**{field: value}))

    assert field in response.context["adminform"].form.errors
    assert RegisteredModel.objects.get().retrain == {}


@pytest.mark.parametrize("group", ["viewer", "manager"])
def test_policies_are_shown_to_those_who_may_not_change_them(
    rows: RegisteredModel, group: str
) -> None:
    client = staff("ann", group)

    page = client.get(page_of(rows)).text

    assert "cooldown" in page
    assert 'name="retrain_cooldown"' not in page
    assert client.post(page_of(rows), policies()).status_code == 403


def test_hostile_words_are_only_words(boss: Client) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    version = make_champion(
        make_model(target=hostile),
        parameters={hostile: hostile},
        metrics={hostile: 1.0},
        classes=[hostile],
        features=[{"name": hostile, "kind": "category", "required": True, "categories": [hostile]}],
    )

    for path in (page_of(version), page_of(version, "promote"), page_of(version.registered_model)):
        assert "<img src=x" not in boss.get(path).text


def test_every_model_of_these_apps_has_its_page() -> None:
    shown = {model.__name__ for model in admin.site._registry}

    assert {
        "RegisteredModel", "ModelVersion", "Deployment", "Prediction", "RegistryAlias",
        "TrainingSnapshot", "WebProcess", "Feedback", "RetrainingRun",
    } <= shown  # fmt: skip
