"""The admin's pages that ask before something changes: what, compared with what, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.admin import ModelAdmin

from models_app import promotion, reports
from models_app.admin_forms import PromotionForm, RollbackForm
from models_app.models import Deployment, ModelVersion, RegisteredModel
from models_app.read_only import row_or_404
from models_app.refusals import ReauthenticationRequired, Refused

MAY_OVERRIDE = "models_app.override_gate"
LINES_SHOWN = 5


class StaffHttpRequest(HttpRequest):
    """A request that the admin site has let in."""

    user: User


def promote(page: ModelAdmin, request: StaffHttpRequest, object_id: str) -> HttpResponse:
    """Show what promoting a version would change; on POST, with a reason, do it."""
    version = row_or_404(ModelVersion, object_id)
    model = version.registered_model
    form = PromotionForm(
        request.POST or None,
        initial={"expected_generation": model.generation},
        may_override=request.user.has_perm(MAY_OVERRIDE),
    )
    if form.is_valid():
        say(request, lambda: _promoted(version, request.user, form.cleaned_data))
        return redirect("admin:models_app_modelversion_change", version.pk)
    return ask(
        page, request, form,
        template="admin/models_app/promote.html",
        title=f"Promote {version}?",
        back=reverse("admin:models_app_modelversion_change", args=[version.pk]),
        version=version, model=model, comparison=_compared(model.champion, version),
        gate_report=reports.gate_report(version.gate),
    )  # fmt: skip


def roll_back(page: ModelAdmin, request: StaffHttpRequest, object_id: str) -> HttpResponse:
    """Show what served before; on POST, with a reason, serve one of those again."""
    model = row_or_404(RegisteredModel, object_id)
    form = RollbackForm(
        request.POST or None,
        initial={"expected_generation": model.generation, "to": request.GET.get("to")},
        registered_model=model,
    )
    if form.is_valid():
        say(request, lambda: _rolled_back(model, request.user, form.cleaned_data))
        return redirect("admin:models_app_registeredmodel_change", model.pk)
    return ask(
        page, request, form,
        template="admin/models_app/roll_back.html",
        title=f"Roll back {model}?",
        back=reverse("admin:models_app_registeredmodel_change", args=[model.pk]),
        model=model, ledger=_ledger(model),
    )  # fmt: skip


def roll_back_to(request: HttpRequest, object_id: str) -> HttpResponse:
    version = row_or_404(ModelVersion, object_id)
    page = reverse("admin:models_app_registeredmodel_roll_back", args=[version.registered_model_id])
    return redirect(f"{page}?to={version.pk}")


def say(request: HttpRequest, change: Callable[[], str]) -> None:
    """Carry out one change; what it tells, or why it was refused, becomes a message.

    Raises ReauthenticationRequired, which leads to the page that asks for the password.
    """
    try:
        messages.success(request, change())
    except ReauthenticationRequired:
        raise
    except Refused as refusal:
        messages.error(request, refusal.detail)


def ask(
    page: ModelAdmin, request: HttpRequest, form: Form, *, template: str, title: str, **more: Any
) -> HttpResponse:
    """A confirmation page in the admin's look."""
    context = {
        **page.admin_site.each_context(request),
        "opts": page.opts,
        "title": title,
        "form": form,
        **more,
    }
    return TemplateResponse(request, template, context, status=400 if form.errors else 200)


def _promoted(version: ModelVersion, actor: User, decided: dict[str, Any]) -> str:
    line = promotion.promote(version, actor=actor, door=Deployment.Door.ADMIN, **decided)
    return f"{line.version} serves, as generation {line.generation}."


def _rolled_back(model: RegisteredModel, actor: User, decided: dict[str, Any]) -> str:
    line = promotion.rollback(model, actor=actor, door=Deployment.Door.ADMIN, **decided)
    return f"{line.version} serves again, as generation {line.generation}."


def _compared(champion: ModelVersion | None, challenger: ModelVersion) -> Any:
    rows = reports.comparison(champion.metrics if champion else {}, challenger.metrics)
    serves = f"{champion} (serves)" if champion else "nothing serves"
    return reports.table(["Metric", serves, f"{challenger} (this)", "Difference"], rows)


def _ledger(model: RegisteredModel) -> Any:
    lines = model.deployments.select_related("version__registered_model", "actor")
    rows = [
        (line.generation, reports.link(line.version), line.action, line.actor, line.reason,
         f"{line.at:%F %R}")
        for line in lines.order_by("-generation")[:LINES_SHOWN]
    ]  # fmt: skip
    return reports.table(["Generation", "Version", "Action", "By", "Reason", "At"], rows)
