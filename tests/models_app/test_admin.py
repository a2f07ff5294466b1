from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

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
    make_champion,
    make_gate,
    make_model,
    make_version,
)
from tests.staff import page_of, staff

pytestmark = pytest.mark.django_db

WRITTEN_BY_THE_SYSTEM = [
    ModelVersion, Deployment, Prediction, RegistryAlias, WebProcess, TrainingSnapshot,
]  # fmt: skip


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


def test_a_version_shows_who_contributed_how_much(viewer: Client, rows: RegisteredModel) -> None:
    TrainingSnapshot.objects.update(
        sources=[{"source": "address:203.0.113.7", "offered": 600, "kept": 35, "weight": 0.1973}]
    )

    page = viewer.get(page_of(rows.champion)).text

    for shown in ("address:203.0.113.7", "600", "35", "19.7%"):
        assert shown in page


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


PROFILE = {
    "rows": 120,
    "unusable": 2,
    "columns": [
        {"name": "length", "kind": "number", "missing": 3, "examples": ["8,25", "3,5"],
         "assumptions": ["'8,25' is read as 8.25"], "warnings": [], "left_out": ""},
        {"name": "width", "kind": "number", "missing": 0, "examples": ["1"], "assumptions": [],
         "warnings": ["Each of its values goes with one class of 'kind' only."], "left_out": ""},
        {"name": "", "kind": "", "missing": 0, "examples": ["<b>1</b>"], "assumptions": [],
         "warnings": [], "left_out": "has no name and counts the rows"},
        {"name": "kind", "kind": "target", "missing": 0, "examples": ["elm", "oak"],
         "assumptions": [], "warnings": [], "left_out": ""},
    ],
}  # fmt: skip


def test_a_model_shows_what_was_understood_of_its_data(viewer: Client) -> None:
    model = make_model(profile=PROFILE)

    page = viewer.get(page_of(model)).text

    for shown in (
        "120 rows; 2 more have no target.", "8,25, 3,5", "&#x27;8,25&#x27; is read as 8.25",
        "Each of its values goes with one class", "(no name)", "has no name and counts the rows",
        "&lt;b&gt;1&lt;/b&gt;",
    ):  # fmt: skip
        assert shown in page
    # What is warned of comes first.
    assert page.index("Each of its values") < page.index("8,25, 3,5")


def test_a_model_of_before_says_how_its_data_can_be_looked_at(viewer: Client) -> None:
    assert "manage.py apply --reread" in viewer.get(page_of(make_model())).text


def test_a_version_keeps_the_warnings_of_its_data_whatever_is_declared_later(
    viewer: Client,
) -> None:
    model = make_model(profile=PROFILE)
    version = make_version(model, warnings=model.warnings)
    plain = make_version(model)
    model.profile = {}
    model.save()

    assert "Each of its values goes with one class" in viewer.get(page_of(version)).text
    assert "Each of its values" not in viewer.get(page_of(plain)).text


def test_features_are_shown_with_their_labels_and_ignored_columns_are_not(viewer: Client) -> None:
    features = [
        {"name": "length", "kind": "number", "required": True, "label": "Length (cm)",
         "reading": {"decimal": ",", "missing": ["k.A."]}},
        {"name": "width", "kind": "number", "required": True},
        {"name": "customer", "ignored": True},
    ]  # fmt: skip
    model = make_model(features=features)
    version = make_version(model, features=features)

    for page in (viewer.get(page_of(model)).text, viewer.get(page_of(version)).text):
        assert "Length (cm) (length)" in page
        assert "decimal &#x27;,&#x27;; missing &#x27;k.A.&#x27;" in page
        assert "customer" not in page


def test_a_table_of_thousands_of_columns_is_shown_in_part(viewer: Client) -> None:
    features = [{"name": f"gene_{n}", "kind": "number", "required": True} for n in range(1200)]
    columns = [{**PROFILE["columns"][0], "name": f"gene_{n}"} for n in range(1200)]  # type: ignore[index]
    model = make_model(features=features, profile={"rows": 9, "unusable": 0, "columns": columns})

    page = viewer.get(page_of(model)).text

    assert page.count("700 more are not shown.") == 2
