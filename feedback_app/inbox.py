"""The control room's inbox of feedback: what waits for a person, and the person's decision."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet, Value
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminTextInputWidget

from feedback_app import reviewing
from feedback_app.models import GOLDEN_ROW, Feedback
from feedback_app.reviewing import Decision
from models_app import reports
from models_app.admin_forms import ReasonForm
from models_app.decisions import StaffHttpRequest, ask, say
from models_app.models import RegisteredModel
from models_app.read_only import ReadOnlyAdmin
from models_app.refusals import Refused

Status = Feedback.Status

MOST_AT_ONCE = 500
FEEDBACK_TONES = {
    "accepted": "success", "pending": "warning", "quarantined": "warning", "rejected": "danger",
}  # fmt: skip


class InboxFilter(admin.SimpleListFilter):
    """What waits for a person, on one click."""

    title = "inbox"
    parameter_name = "inbox"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("waiting", "Waits for a person")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Feedback]) -> QuerySet[Feedback]:
        if self.value() != "waiting":
            return queryset
        return queryset.filter(shown_status__in=(Status.PENDING, Status.QUARANTINED))  # type: ignore[misc]


class StatusFilter(admin.SimpleListFilter):
    """By the status that the one who looks may see."""

    title = "status"
    parameter_name = "status__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(value), str(label)) for value, label in Status.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Feedback]) -> QuerySet[Feedback]:
        return queryset.filter(shown_status=self.value()) if self.value() else queryset  # type: ignore[misc]


class CorrectionForm(ReasonForm):
    """The right answer, too, when what was said is worth keeping but wrong."""

    value = forms.CharField(
        required=False, strip=False, max_length=255, label="Correct it to",
        help_text="Empty: as it was said. The word then gives way to another that says this.",
        widget=UnfoldAdminTextInputWidget(),
    )  # fmt: skip


class FeedbackAdmin(ReadOnlyAdmin):
    """What people say the right answers were; a value changes only by another word."""

    list_display = ("id", "registered_model", "said", "state", "why", "source", "at")
    list_filter = (InboxFilter, "registered_model", StatusFilter)
    list_select_related = ("registered_model",)
    search_fields = ("=id", "=prediction__id", "source", "comment")
    fields = (
        "registered_model", "prediction", "answered", "said", "state", "why", "comment",
        "features", "source", "given_by", "superseded_by", "decisions", "learnt_in", "at",
        "accepted_at",
    )  # fmt: skip
    actions = ("accept_selected", "reject_selected")
    actions_detail = ("accept", "reject")

    def has_review_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return reviewing.may_review(request.user)

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[object]:
        standing = Feedback.objects.exclude(status=Feedback.Status.SUPERSEDED)
        found = standing.filter(pk=object_id).exists()
        return super().get_actions_detail(request, object_id) if found else []

    def get_queryset(self, request: HttpRequest) -> QuerySet[Feedback]:
        reviewer = self.has_review_permission(request)
        found = Feedback.objects.with_shown_status(reviewer=reviewer)
        return found.annotate(by_reviewer=Value(reviewer)).order_by(*self.get_ordering(request))

    @display(description="Status", ordering="shown_status", label=FEEDBACK_TONES)
    def state(self, feedback: Feedback) -> str:
        return str(feedback.shown_status)  # type: ignore[attr-defined]

    @display(description="Right answer")
    def said(self, feedback: Feedback) -> str:
        return reports.written(feedback.value)

    @display(description="Reasons")
    def why(self, feedback: Feedback) -> str:
        # Staff who only look see the quarantine, but not which rows judge the versions.
        hidden = () if feedback.by_reviewer else (GOLDEN_ROW,)  # type: ignore[attr-defined]
        details = feedback.reason_details or {}
        return ", ".join(
            f"{reason} ({', '.join(details[reason])})" if reason in details else reason
            for reason in feedback.reasons
            if reason not in hidden
        )

    @display(description="The model had answered")
    def answered(self, feedback: Feedback) -> str:
        return reports.written(feedback.prediction.value) if feedback.prediction else ""

    @display(description="Learnt in")
    def learnt_in(self, feedback: Feedback) -> SafeString | str:
        rows = [(reports.link(one),) for one in feedback.snapshots.all()]
        return reports.table(["Snapshot"], rows) if rows else "No version learnt it yet."

    @display(description="Decisions")
    def decisions(self, feedback: Feedback) -> SafeString | str:
        rows = [
            (one.decision, one.reason, one.reviewer, f"{one.at:%F %R}", reports.link(one.stands))
            for one in feedback.reviews.select_related("reviewer", "stands")
        ]
        heads = ["Decision", "Reason", "By", "At", "The word that stood then"]
        return reports.table(heads, rows) if rows else "Nobody decided on it."

    @action(description="Accept", permissions=["review"], icon="check")
    def accept(self, request: StaffHttpRequest, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, "accept", CorrectionForm(request.POST or None))

    @action(description="Reject", permissions=["review"], icon="close")
    def reject(self, request: StaffHttpRequest, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, "reject", ReasonForm(request.POST or None))

    @admin.action(description="Accept: may train", permissions=["review"])
    def accept_selected(
        self, request: StaffHttpRequest, chosen: QuerySet[Feedback]
    ) -> HttpResponse | None:
        return self._decide_on_many(request, chosen, "accept")

    @admin.action(description="Reject: may not train", permissions=["review"])
    def reject_selected(
        self, request: StaffHttpRequest, chosen: QuerySet[Feedback]
    ) -> HttpResponse | None:
        return self._decide_on_many(request, chosen, "reject")

    def _decide(
        self, request: StaffHttpRequest, object_id: str, decision: Decision, form: ReasonForm
    ) -> HttpResponse:
        feedback: Feedback | None = self.get_object(request, object_id)
        if feedback is None:
            raise Http404("There is no such feedback.")
        if form.is_valid():
            try:
                stands = _reviewed(feedback, request.user, decision, form)
            except Refused as refusal:
                form.add_error("value" if refusal.attr == "value" else None, refusal.detail)
            else:
                messages.success(request, f"{stands} is {stands.status}.")
                return redirect("admin:feedback_app_feedback_change", stands.pk)
        return ask(
            self, request, form,
            template="admin/feedback_app/review.html",
            title=f"{decision.capitalize()} this feedback?",
            back=reverse("admin:feedback_app_feedback_change", args=[feedback.pk]),
            chosen=[feedback], decision=decision,
        )  # fmt: skip

    def _decide_on_many(
        self, request: StaffHttpRequest, chosen: QuerySet[Feedback], decision: Decision
    ) -> HttpResponse | None:
        if chosen.count() > MOST_AT_ONCE:
            messages.error(request, f"At most {MOST_AT_ONCE} can be decided on at once.")
            return None
        form = ReasonForm(request.POST if "reason" in request.POST else None)
        if form.is_valid():
            say(request, lambda: _reviewed_many(chosen, request.user, decision, form))
            return None
        return ask(
            self, request, form,
            template="admin/feedback_app/review.html",
            title=f"{decision.capitalize()} what is selected?",
            back=reverse("admin:feedback_app_feedback_changelist"),
            chosen=chosen.select_related("prediction"), decision=decision,
            action=f"{decision}_selected",
        )  # fmt: skip


def _reviewed(feedback: Feedback, actor: User, decision: Decision, form: ReasonForm) -> Feedback:
    value = form.cleaned_data.get("value") or None
    if value and feedback.registered_model.task == RegisteredModel.Task.REGRESSION:
        with suppress(ValueError):  # what is no number is refused as any other answer
            value = float(value)
    reason = form.cleaned_data["reason"]
    return reviewing.review(feedback, actor=actor, decision=decision, reason=reason, value=value)


def _reviewed_many(
    chosen: QuerySet[Feedback], actor: User, decision: Decision, form: ReasonForm
) -> str:
    reason = form.cleaned_data["reason"]
    done = reviewing.review_many(list(chosen), actor=actor, decision=decision, reason=reason)
    return f"{len(done)} decided on: {decision}."
