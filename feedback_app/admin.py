"""The control room's pages on what came back: feedback, snapshots and retraining runs.

A run is asked for on its model's page and goes through `retraining`; feedback is decided on in
`inbox`.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action, display

from feedback_app import golden, inbox, retraining
from feedback_app.admin_forms import PinForm
from feedback_app.models import Feedback, RetentionState, RetrainingRun
from models_app import reports
from models_app.admin import RegisteredModelAdmin
from models_app.admin_forms import ReasonForm
from models_app.decisions import StaffHttpRequest, ask, say
from models_app.models import RegisteredModel, TrainingSnapshot
from models_app.read_only import ReadOnlyAdmin, row_or_404

RUN_TONES = {
    "running": "info", "succeeded": "success", "held": "warning", "rejected": "warning",
    "failed": "danger",
}  # fmt: skip

admin.site.unregister(RegisteredModel)
admin.site.register(Feedback, inbox.FeedbackAdmin)


@admin.register(RegisteredModel)
class TrainableModelAdmin(RegisteredModelAdmin):
    """The model's page, with a button that trains it: apps below know nothing of runs."""

    actions_detail = ("train_now", *RegisteredModelAdmin.actions_detail, "pin")

    def has_train_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("feedback_app.add_retrainingrun")

    def has_pin_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("models_app.change_registeredmodel")

    @action(description="Train now", permissions=["train"], icon="model_training")
    def train_now(self, request: StaffHttpRequest, object_id: str) -> HttpResponse:
        model = row_or_404(RegisteredModel, object_id, retired_at=None)
        form = ReasonForm(request.POST or None)
        if form.is_valid():
            run, created = retraining.request(
                model, actor=request.user, trigger=RetrainingRun.Trigger.MANUAL,
                reason=form.cleaned_data["reason"],
            )  # fmt: skip
            say(request, lambda: f"Queued {run}." if created else f"Already under way: {run}.")
            return redirect("admin:feedback_app_retrainingrun_change", run.pk)
        return ask(
            self, request, form,
            template="admin/feedback_app/train.html",
            title=f"Train {model} now?",
            back=reverse("admin:models_app_registeredmodel_change", args=[model.pk]),
            model=model,
            waiting=Feedback.objects.filter(
                registered_model=model, status=Feedback.Status.ACCEPTED,
                snapshots__isnull=True,
            ).count(),
        )  # fmt: skip

    @action(description="Pin golden rows", permissions=["pin"], icon="push_pin")
    def pin(self, request: StaffHttpRequest, object_id: str) -> HttpResponse:
        model = row_or_404(RegisteredModel, object_id, retired_at=None)
        form = PinForm(request.POST or None, request.FILES or None, registered_model=model)
        page = reverse("admin:models_app_registeredmodel_change", args=[model.pk])
        if form.is_valid():
            say(request, lambda: _pinned(model, request.user, form.cleaned_data))
            return redirect(page)
        return ask(
            self, request, form,
            template="admin/feedback_app/pin.html",
            title=f"Pin golden rows of {model}",
            back=page,
            model=model,
            columns=", ".join((*model.schema.names, model.target)),
        )  # fmt: skip


def _pinned(model: RegisteredModel, actor: User, decided: dict[str, Any]) -> str:
    pins = decided["file"]
    new = golden.pin(model, pins, actor=actor, reason=decided["reason"])
    return golden.told(model, new, len(pins))


@admin.register(TrainingSnapshot)
class TrainingSnapshotAdmin(ReadOnlyAdmin):
    """Frozen rows: how many, which feedback among them, and the versions that learnt them."""

    list_display = ("__str__", "registered_model", "rows", "feedback_rows", "created_at")
    list_filter = ("registered_model",)
    list_select_related = ("registered_model",)
    fields = (
        "registered_model", "digest", "rows", "feedback_rows", "contributors",
        "learnt_from", "learnt_by", "created_at",
    )  # fmt: skip

    @display(description="Feedback")
    def learnt_from(self, snapshot: TrainingSnapshot) -> SafeString:
        learnt = Feedback.objects.filter(snapshots=snapshot).count()
        page = reverse("admin:feedback_app_feedback_changelist")
        return reports.anchor(f"{page}?snapshots__id__exact={snapshot.pk}", f"{learnt} rows of it")

    @display(description="Feedback by source")
    def contributors(self, snapshot: TrainingSnapshot) -> SafeString | str:
        return reports.sources(snapshot)

    @display(description="Learnt by")
    def learnt_by(self, snapshot: TrainingSnapshot) -> SafeString | str:
        found = snapshot.versions.select_related("registered_model")
        rows = [(reports.link(one), reports.label(one.status)) for one in found]
        return reports.table(["Version", "Status"], rows) if rows else "No version."


@admin.register(RetrainingRun)
class RetrainingRunAdmin(ReadOnlyAdmin):
    """Runs from request to verdict: how far they are, what came of them, why they failed."""

    list_display = (
        "__str__", "state", "trigger", "progress", "gate", "version", "requested_by", "created_at",
    )  # fmt: skip
    list_filter = ("registered_model", "status", "trigger")
    list_select_related = ("registered_model", "version__registered_model", "requested_by")
    fieldsets = (
        (None, {"fields": ("registered_model", "state", "progress", "failure")}),
        ("Why", {"fields": ("trigger", "reason", "requested_by", "data", "promote")}),
        ("What came of it", {"fields": ("gate", "version", "snapshot", "mlflow_run_id")}),
        ("Elsewhere", {"fields": ("reporter", "handed_over_at")}),
        ("When", {"fields": ("created_at", "started_at", "ended_at", "attempts", "leased_until")}),
    )
    actions_detail = ("cancel",)

    def has_cancel_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("feedback_app.change_retrainingrun")

    @display(description="Status", ordering="status", label=RUN_TONES)
    def state(self, run: RetrainingRun) -> str:
        return run.status

    @display(description="Progress")
    def progress(self, run: RetrainingRun) -> str:
        return f"{run.step} {run.done} of {run.total}" if run.total else run.step

    @display(description="Gate", label=reports.TONES)
    def gate(self, run: RetrainingRun) -> str:
        return run.verdict

    @display(description="Error")
    def failure(self, run: RetrainingRun) -> SafeString | str:
        return format_html("<pre>{}</pre>", run.error) if run.error else ""

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[object]:
        active = RetrainingRun.objects.filter(pk=object_id, status__in=RetrainingRun.ACTIVE)
        return super().get_actions_detail(request, object_id) if active.exists() else []

    @action(description="Cancel", permissions=["cancel"], icon="cancel")
    def cancel(self, request: StaffHttpRequest, object_id: str) -> HttpResponse:
        run = row_or_404(RetrainingRun, object_id)
        if request.method == "POST":
            say(request, lambda: f"Cancelled {retraining.cancel(run, actor=request.user)}.")
            return redirect("admin:feedback_app_retrainingrun_change", run.pk)
        return ask(
            self, request, Form(),
            template="admin/feedback_app/cancel.html",
            title=f"Cancel {run}?",
            back=reverse("admin:feedback_app_retrainingrun_change", args=[run.pk]),
            run=run,
        )  # fmt: skip


@admin.register(RetentionState)
class RetentionStateAdmin(ReadOnlyAdmin):
    """What is deleted for its age, from when on, and how much was."""

    list_display = (
        "kind", "keeps", "due", "announced_at", "confirmed", "looked_at", "deleted", "deleted_at",
    )  # fmt: skip
    fields = list_display
