"""Quotas in the control room: those of a key beside today's use, and who used most each day."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import CharField, F, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Cast, Concat
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from unfold.decorators import action, display

from everlearn import key_quotas
from everlearn.key_quotas import QuotaForm
from everlearn.models import ApiKey
from models_app import quotas, reports
from models_app.decisions import StaffHttpRequest, ask, say
from models_app.quota import MIB, Quota
from models_app.read_only import ReadOnlyAdmin, row_or_404
from models_app.usage import ACCOUNT, DailyUsage, QuotaOverride, today


class KeyQuotaAdmin(ReadOnlyAdmin):
    """What keys used today beside their quotas, and the page that sets them."""

    def has_quotas_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("everlearn.change_apikey")

    @display(description="Used today, of")
    def used_today(self, key: ApiKey) -> Any:
        rows = quotas.told(_used_today(key), _quota_of(key))
        return reports.table(["", "Used today", "Quota"], rows)

    @display(description="Rows today")
    def rows_today(self, key: ApiKey) -> str:
        used, own = getattr(key, "rows_used", None) or 0, getattr(key, "rows_quota", None)
        quota = quotas.usual_of_keys().rows if own is None else own
        return f"{used:,} of {quota:,}" if quota else f"{used:,}"

    @action(description="Set quotas", permissions=["quotas"], icon="speed")
    def quotas(self, request: StaffHttpRequest, object_id: str) -> HttpResponse:
        key = row_or_404(ApiKey, object_id)
        own = QuotaOverride.objects.filter(account=key.user).values(*key_quotas.QUOTAS).first()
        form = QuotaForm(request.POST or None, initial=own)
        if form.is_valid():
            say(request, lambda: _set(key, form, request.user))
            return redirect("admin:everlearn_apikey_change", key.pk)
        return ask(
            self, request, form,
            template="admin/everlearn/quotas.html",
            title=f"Daily quotas of {key.name}",
            back=reverse("admin:everlearn_apikey_change", args=[key.pk]),
            usual=quotas.told(_used_today(key), _quota_of(key)),
        )  # fmt: skip


def with_rows_today(keys: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
    """The keys, each with the rows that were predicted for it today and its own quota of them."""
    used = DailyUsage.objects.filter(day=today(), subject=OuterRef("subject"))
    return keys.annotate(
        subject=_subject("user_id"),
        rows_used=Subquery(used.values("rows")[:1]),
        rows_quota=F("user__quota_override__rows"),
    )


def _subject(account: str) -> Concat:
    return Concat(Value(ACCOUNT), Cast(account, CharField()))


def _set(key: ApiKey, form: QuotaForm, actor: User) -> str:
    key_quotas.set_quotas(key.name, form.quotas, actor=actor)
    return f"{key.name} has its new quotas within seconds."


def _used_today(key: ApiKey) -> Quota:
    rows = DailyUsage.objects.filter(day=today(), subject=f"{ACCOUNT}{key.user_id}")
    found = rows.values_list(*Quota._fields).first()
    return Quota(*found) if found else Quota()


def _quota_of(key: ApiKey) -> Quota:
    own = QuotaOverride.objects.filter(account=key.user_id).first()
    return own.quota if own else quotas.usual_of_keys()


@admin.register(DailyUsage)
class DailyUsageAdmin(ReadOnlyAdmin):
    """Who used how much on which day, the most on top."""

    list_display = ("who", "day", "requests", "rows", "feedback", "stored")
    list_filter = ("day",)
    search_fields = ("subject",)
    fields = list_display

    def get_queryset(self, request: HttpRequest) -> QuerySet[DailyUsage]:
        found: QuerySet[DailyUsage] = super().get_queryset(request)
        accounts = User.objects.annotate(subject=_subject("pk"))
        named = accounts.filter(subject=OuterRef("subject")).values("username")
        return found.annotate(username=Subquery(named[:1]))

    @display(description="Client", ordering="subject")
    def who(self, used: DailyUsage) -> str:
        if username := getattr(used, "username", None):
            return str(username)
        _, _, name = used.subject.partition(":")
        return f"network {name}" if name else "all clients without a key"

    @display(description="Stored, MiB", ordering="stored_bytes")
    def stored(self, used: DailyUsage) -> str:
        return f"{used.stored_bytes / MIB:,.1f}"
