"""The control room's pages on models, their versions and what they answered.

Versions, the ledger and predictions are never edited here: a promotion and a rollback go
through `promotion`, and ask for a reason first.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from unfold.decorators import action, display
from unfold.paginator import InfinitePaginator

from models_app import decisions, policies, reports
from models_app.admin_forms import PolicyForm
from models_app.decisions import StaffHttpRequest
from models_app.models import (
    Deployment,
    ModelVersion,
    Prediction,
    RegisteredModel,
    RegistryAlias,
    WebProcess,
)
from models_app.policies import POLICIES
from models_app.read_only import ReadOnlyAdmin, StrictAdmin

VERSIONS_SHOWN = 10

Fieldsets = list[tuple[str | None, dict[str, Any]]]


class MayPromote:
    """The permission that the buttons of `promotion` need; the theme asks by this name."""

    def has_promote_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("models_app.promote_registeredmodel")


@admin.register(RegisteredModel)
class RegisteredModelAdmin(MayPromote, StrictAdmin):
    """A declared model: what it is stays the declaration's, its policies can be changed."""

    form = PolicyForm
    list_display = ("name", "task", "target", "serving", "generation", "public", "state")
    list_filter = ("task", "public")
    list_select_related = ("champion",)
    search_fields = ("name",)
    readonly_fields = (
        "name", "task", "target", "metric", "estimator", "data", "public", "is_default",
        "retired_at", "champion", "generation", "newest_versions", "policies", "schema_table",
        "profile_table",
    )  # fmt: skip
    actions_detail: tuple[str, ...] = ("roll_back",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Fieldsets:
        declared = ("name", "task", "target", "metric", "estimator", "data", "public", "is_default")
        kept = "The declaration wins at the next start, for what it names."
        shown: Fieldsets = [
            ("What serves", {"fields": ("champion", "generation", "newest_versions")}),
            ("Declared", {"fields": (*declared, "retired_at")}),
            ("What was understood of its data", {"fields": ("profile_table",)}),
            ("What it takes", {"fields": ("schema_table",), "classes": ("collapse",)}),
        ]
        if not self.has_change_permission(request, obj):
            return [*shown[:1], ("Policies", {"fields": ("policies",)}), *shown[1:]]
        names = tuple(PolicyForm.base_fields)
        groups = [
            (title, {"fields": tuple(n for n in names if n.startswith(group)), "description": kept})
            for group, title in (
                ("retrain_", "When it trains again"),
                ("promotion_", "What is promoted"),
                ("feedback_", "What it learns from feedback"),
            )
        ]
        return [*shown[:1], *groups, *shown[1:]]

    def save_model(
        self, request: StaffHttpRequest, obj: RegisteredModel, form: Any, change: bool
    ) -> None:
        given = {group: getattr(obj, group) for group in POLICIES}
        policies.change(obj, given, actor=request.user)

    @display(description="Serves", ordering="champion__number", label=True)
    def serving(self, model: RegisteredModel) -> str:
        return f"version {model.champion.number}" if model.champion else "nothing yet"

    @display(description="State", label={"live": "success", "retired": "warning"})
    def state(self, model: RegisteredModel) -> str:
        return "retired" if model.retired_at else "live"

    @display(description="Newest versions")
    def newest_versions(self, model: RegisteredModel) -> SafeString | str:
        versions = model.versions.order_by("-number")[:VERSIONS_SHOWN]
        rows = [
            (
                reports.link(version), reports.label(version.status), _verdict_label(version),
                reports.number(version.metrics.get(model.metric)), f"{version.created_at:%F %R}",
            )
            for version in versions
        ]  # fmt: skip
        headers = ["Version", "Status", "Gate", model.metric, "Trained"]
        return reports.table(headers, rows) if rows else "None was trained yet."

    @display(description="Policies")
    def policies(self, model: RegisteredModel) -> SafeString:
        rows = [
            (group, key.replace("_", " "), "off" if value is None else str(value))
            for group, policy in POLICIES.items()
            for key, value in policy.model_validate(getattr(model, group))
        ]
        return reports.table(["Policy", "", ""], rows)

    @display(description="Features")
    def schema_table(self, model: RegisteredModel) -> SafeString:
        return reports.schema_table(model.features, model.labels)

    @display(description="Columns")
    def profile_table(self, model: RegisteredModel) -> SafeString | str:
        return reports.profile_table(model.profile)

    @action(description="Roll back", permissions=["promote"], icon="history")
    def roll_back(self, request: StaffHttpRequest, object_id: str) -> HttpResponse:
        return decisions.roll_back(self, request, object_id)


def _verdict_label(version: ModelVersion) -> SafeString | str:
    return reports.label(version.gate["verdict"]) if version.gate else reports.DASH


@admin.register(ModelVersion)
class ModelVersionAdmin(MayPromote, ReadOnlyAdmin):
    """A trained version: how good it is, what the gate said, and what it learnt from."""

    list_display = ("version", "state", "verdict", "headline", "runtime", "servable", "created_at")
    list_filter = ("registered_model", "status")
    list_select_related = ("registered_model",)
    ordering = ("-pk",)
    fieldsets = (
        (None, {"fields": ("registered_model", "number", "state", "created_at")}),
        ("What the gate said", {"fields": ("gate_report",)}),
        ("Measured on rows it never saw", {"fields": ("metrics_table",)}),
        (
            "What it learnt from",
            {"fields": ("warnings_table", "snapshot", "lineage", "sources", "code_revision")},
        ),
        ("How it was made", {"fields": ("mlflow_run_id", "parameters_table")}),
        (
            "How it serves",
            {
                "fields": (
                    "runtime",
                    "bundle_digest",
                    "servable",
                    "unservable_because",
                    "missing_in_registry",
                    "classes",
                )
            },
        ),
        ("What it takes", {"fields": ("schema_table",), "classes": ("collapse",)}),
    )
    actions_detail = ("promote", "roll_back_to")

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Only what makes sense for this version; both addresses answer all the same."""
        version = ModelVersion.objects.filter(pk=object_id).select_related("registered_model")
        found = version.first()
        offered = super().get_actions_detail(request, object_id)
        if found is None or found.registered_model.champion_id == found.pk:
            return []
        served = found.deployments.exists()
        return [one for one in offered if served or "roll_back_to" not in one.action_name]

    @display(description="Version", ordering="number")
    def version(self, version: ModelVersion) -> str:
        return str(version)

    @display(
        description="Status", ordering="status",
        label={status: reports.TONES.get(status, "") for status in ModelVersion.Status.values},
    )  # fmt: skip
    def state(self, version: ModelVersion) -> str:
        return version.status

    @display(description="Gate", label=reports.TONES)
    def verdict(self, version: ModelVersion) -> str | None:
        return version.gate["verdict"] if version.gate else None

    @display(description="Metric")
    def headline(self, version: ModelVersion) -> str:
        metric = version.registered_model.metric
        return f"{metric} {reports.number(version.metrics.get(metric))}"

    @display(description="Servable", boolean=True)
    def servable(self, version: ModelVersion) -> bool:
        return version.servable

    @display(description="Gate report")
    def gate_report(self, version: ModelVersion) -> SafeString:
        return reports.gate_report(version.gate)

    @display(description="Metrics")
    def metrics_table(self, version: ModelVersion) -> SafeString | str:
        return reports.metrics_table(version.metrics)

    @display(description="Parameters")
    def parameters_table(self, version: ModelVersion) -> SafeString:
        return reports.table(["Parameter", "Value"], [*version.parameters.items()])

    @display(description="Features")
    def schema_table(self, version: ModelVersion) -> SafeString:
        return reports.schema_table(version.features, version.registered_model.labels)

    @display(description="Warnings of its data")
    def warnings_table(self, version: ModelVersion) -> SafeString | str:
        return reports.warnings_table(version.warnings)

    @display(description="Rows")
    def lineage(self, version: ModelVersion) -> SafeString | str:
        return reports.lineage(version.snapshot)

    @display(description="Feedback by source")
    def sources(self, version: ModelVersion) -> SafeString | str:
        return reports.sources(version.snapshot)

    @action(description="Promote", permissions=["promote"], icon="publish")
    def promote(self, request: StaffHttpRequest, object_id: str) -> HttpResponse:
        return decisions.promote(self, request, object_id)

    @action(description="Roll back to this", permissions=["promote"], icon="history")
    def roll_back_to(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return decisions.roll_back_to(request, object_id)


@admin.register(Deployment)
class DeploymentAdmin(ReadOnlyAdmin):
    """The ledger: what began to serve when, by whom, and why."""

    list_display = (
        "__str__", "version", "previous", "action", "actor", "door", "reason", "overrode", "at",
    )  # fmt: skip
    list_filter = ("registered_model", "action", "door")
    list_select_related = (
        "registered_model", "version__registered_model", "previous__registered_model", "actor",
    )  # fmt: skip
    ordering = ("-pk",)
    search_fields = ("reason", "actor__username")

    @display(description="Gate", label={"overridden": "warning"})
    def overrode(self, deployment: Deployment) -> str:
        return "overridden" if deployment.override else ""


@admin.register(Prediction)
class PredictionAdmin(ReadOnlyAdmin):
    """The log of answers."""

    list_display = ("id", "registered_model", "version", "answer", "subject", "client", "at")
    list_filter = ("registered_model",)
    list_select_related = ("registered_model", "version__registered_model", "client")
    search_fields = ("=id", "=subject")
    # Counting a log that grows with each request would cost more than the page is worth.
    paginator = InfinitePaginator
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Prediction]:
        return Prediction.objects.defer("input", "probabilities")

    @display(description="Answer")
    def answer(self, prediction: Prediction) -> str:
        return reports.written(prediction.value)


@admin.register(RegistryAlias)
class RegistryAliasAdmin(ReadOnlyAdmin):
    """What MLflow's aliases should be, and what they were when last seen."""

    list_display = ("__str__", "number", "mirrored", "held_for_review", "held_because")
    list_filter = ("registered_model",)
    list_select_related = ("registered_model",)


@admin.register(WebProcess)
class WebProcessAdmin(ReadOnlyAdmin):
    """The web processes that said so lately, and what each has loaded."""

    list_display = ("host", "pid", "generations", "seen_at")
