from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from feedback_app import intake
from feedback_app.models import Feedback, RetrainingRun
from models_app import serving
from models_app.models import TrainingSnapshot
from tests.factories import LONG, make_champion, make_model
from tests.feedback_app.makers import make_run
from tests.staff import page_of

pytestmark = pytest.mark.django_db


def make_feedback(value: str = "elm", **fields: Any) -> Feedback:
    answered = serving.predict("leaves", [LONG], client=None)
    word = intake.Word(value=value, prediction=uuid.UUID(answered.predictions[0]["id"]), **fields)
    return intake.record(word, speaker=intake.Speaker(user=None, address="203.0.113.9"))


def test_train_now_asks_for_a_reason(manager: Client) -> None:
    model = make_model()

    assert page_of(model, "train_now") in manager.get(page_of(model)).text
    assert "Train leaves now?" in manager.get(page_of(model, "train_now")).text
    assert manager.post(page_of(model, "train_now"), {"reason": ""}).status_code == 400
    assert not RetrainingRun.objects.exists()


def test_train_now_queues_a_run_that_says_who_and_why(manager: Client) -> None:
    model = make_model()

    page = manager.post(page_of(model, "train_now"), {"reason": "New season"}, follow=True).text

    run = RetrainingRun.objects.get()
    assert (run.registered_model, run.status, run.trigger) == (model, "queued", "manual")
    assert (run.requested_by.username, run.reason) == ("max", "New season")
    assert f"Queued run {run.pk} of leaves" in page


def test_a_second_click_leads_to_the_run_under_way(manager: Client) -> None:
    run = make_run(make_model())
    path = page_of(run.registered_model, "train_now")

    response = manager.post(path, {"reason": "Again"}, follow=True)

    assert response.redirect_chain[-1][0] == page_of(run)
    assert f"Already under way: run {run.pk}" in response.text
    assert RetrainingRun.objects.count() == 1


def test_a_viewer_has_no_button_to_train_and_is_refused_at_its_address(viewer: Client) -> None:
    model = make_model()

    assert page_of(model, "train_now") not in viewer.get(page_of(model)).text
    assert viewer.get(page_of(model, "train_now")).status_code == 403
    assert viewer.post(page_of(model, "train_now"), {"reason": "x"}).status_code == 403
    assert not RetrainingRun.objects.exists()


def test_a_run_shows_how_far_it_is_and_why_it_failed(viewer: Client) -> None:
    run = make_run(
        make_model(), status="failed", step="fit", done=3, total=8, error="ValueError: 3 rows <b>"
    )

    listed = viewer.get(reverse("admin:feedback_app_retrainingrun_changelist")).text
    page = viewer.get(page_of(run)).text

    assert "fit 3 of 8" in listed
    assert "ValueError: 3 rows &lt;b&gt;" in page


def test_a_manager_cancels_a_run_after_being_asked(manager: Client) -> None:
    run = make_run(make_model())

    assert page_of(run, "cancel") in manager.get(page_of(run)).text
    assert "Cancel run" in manager.get(page_of(run, "cancel")).text
    run.refresh_from_db()
    assert run.status == "queued"

    manager.post(page_of(run, "cancel"))

    run.refresh_from_db()
    assert run.status == "cancelled"
    assert page_of(run, "cancel") not in manager.get(page_of(run)).text


def test_a_run_that_has_ended_is_not_cancelled(manager: Client) -> None:
    run = make_run(make_model(), status="succeeded")

    page = manager.post(page_of(run, "cancel"), follow=True).text

    run.refresh_from_db()
    assert run.status == "succeeded"
    assert "has ended already" in page


def test_a_viewer_cancels_nothing(viewer: Client) -> None:
    run = make_run(make_model())

    assert page_of(run, "cancel") not in viewer.get(page_of(run)).text
    assert viewer.post(page_of(run, "cancel")).status_code == 403


def test_feedback_is_listed_by_model_and_status(viewer: Client) -> None:
    make_champion()
    sure, agreed = make_feedback("elm"), make_feedback("oak")
    listed = reverse("admin:feedback_app_feedback_changelist")

    page = viewer.get(listed, {"status__exact": "quarantined"}).text

    assert str(sure.pk) in page
    assert str(agreed.pk) not in page
    assert "confident_disagreement" in page


def test_feedback_shows_what_was_asked_answered_and_said(viewer: Client) -> None:
    make_champion()
    feedback = make_feedback("elm", comment="<script>alert(1)</script>")

    page = viewer.get(page_of(feedback)).text

    assert page_of(feedback.prediction) in page
    assert "oak" in page
    assert "<script>alert(1)" not in page


def test_feedback_and_runs_are_never_edited_added_or_deleted(boss: Client) -> None:
    make_champion()
    feedback, run = make_feedback("elm"), make_run(make_model("other"))

    for row in (feedback, run):
        options = row._meta
        add = reverse(f"admin:{options.app_label}_{options.model_name}_add")
        for path in (add, page_of(row), page_of(row, "delete")):
            assert boss.post(path, {"value": '"oak"', "post": "yes"}).status_code == 403
    assert Feedback.objects.get().value == "elm"
    assert RetrainingRun.objects.get().status == "queued"


def test_a_snapshot_leads_to_the_feedback_that_it_holds(viewer: Client) -> None:
    model = make_champion().registered_model
    learnt, other = make_feedback("oak"), make_feedback("oak")
    snapshot = TrainingSnapshot.objects.create(
        registered_model=model, digest="5f" * 32, rows=90, feedback_rows=1
    )
    learnt.snapshots.add(snapshot)
    list_of_it = (
        f"{reverse('admin:feedback_app_feedback_changelist')}?snapshots__id__exact={snapshot.pk}"
    )

    assert list_of_it in viewer.get(page_of(snapshot)).text
    page = viewer.get(list_of_it).text
    assert str(learnt.pk) in page
    assert str(other.pk) not in page
    assert page_of(snapshot) in viewer.get(page_of(learnt)).text
