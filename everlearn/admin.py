"""The admin of accounts; and what other apps put there that nobody here may use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from django_q.models import Failure, OrmQ, Schedule, Success
from rest_framework_api_key.models import APIKey
from unfold.decorators import action, display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from everlearn import key_pages, keys, sessions, two_factor
from everlearn.access import GROUPS
from everlearn.key_forms import KeyForm
from everlearn.key_quotas import set_quotas
from everlearn.models import ApiKey
from everlearn.quota_admin import KeyQuotaAdmin, with_rows_today
from models_app.decisions import StaffHttpRequest, ask, say
from models_app.read_only import ReadOnlyAdmin, StrictAdmin, row_or_404

# Whoever may so much as look at django-q's own pages can run tasks again, and add a schedule of
# any function; keys have scopes and accounts here. The devices' own pages show their secrets.
for _model in (Schedule, OrmQ, Success, Failure, APIKey, User, Group, TOTPDevice, StaticDevice):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)
KEY_TONES = {"live": "success", "rolled": "info", "expired": "warning", "revoked": "danger"}


@admin.register(User)
class UserAdmin(DjangoUserAdmin[User], StrictAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    actions_detail = ("end_sessions", "reset_two_factor")

    def has_account_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("auth.change_user")

    @action(description="End all sessions", permissions=["account"], icon="logout")
    def end_sessions(self, request: StaffHttpRequest, object_id: str) -> HttpResponse:
        return self._done_to(
            request, object_id, "end_sessions", "End all sessions of {}?",
            lambda user: f"{sessions.end_sessions_of(user, actor=request.user)} sessions ended.",
        )  # fmt: skip

    @action(description="Reset two-factor login", permissions=["account"], icon="phonelink_erase")
    def reset_two_factor(self, request: StaffHttpRequest, object_id: str) -> HttpResponse:
        def reset(user: User) -> str:
            two_factor.reset(user, actor=request.user)
            return f"The two-factor login of {user} is off."

        title = "Reset the two-factor login of {}?"
        return self._done_to(request, object_id, "reset_two_factor", title, reset)

    def _done_to(
        self,
        request: StaffHttpRequest,
        object_id: str,
        name: str,
        title: str,
        change: Callable[[User], str],
    ) -> HttpResponse:
        """Ask first; on POST, do it."""
        user = row_or_404(User, object_id)
        page = reverse("admin:auth_user_change", args=[user.pk])
        if request.method == "POST":
            say(request, lambda: change(user))
            return redirect(page)
        return ask(
            self, request, forms.Form(),
            template=f"admin/everlearn/{name}.html", title=title.format(user), back=page,
        )  # fmt: skip


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, StrictAdmin):
    """Groups of one's own; EverLearn's are kept to the table in `access` at each start."""

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        ours = obj is not None and obj.name in GROUPS
        return not ours and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        ours = obj is not None and obj.name in GROUPS
        return not ours and super().has_delete_permission(request, obj)


@admin.register(ApiKey)
class ApiKeyAdmin(KeyQuotaAdmin):
    """API keys; none is ever shown again, so none can be copied here."""

    list_display = (
        "name", "prefix", "state", "may", "places", "user", "last_used_at", "expiry_date",
        "created", "rows_today",
    )  # fmt: skip
    list_filter = ("revoked",)
    list_select_related = ("user",)
    search_fields = ("name", "prefix")
    fields = (*list_display[:-1], "used_today")
    actions_detail = ("roll", "limit", "quotas", "revoke")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("everlearn.add_apikey")

    def has_revoke_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("everlearn.change_apikey")

    @action(description="Roll", permissions=["revoke"], icon="autorenew")
    def roll(self, request: StaffHttpRequest, object_id: str) -> HttpResponse:
        return key_pages.roll(self, request, row_or_404(ApiKey, object_id))

    @action(description="Limit to networks", permissions=["revoke"], icon="lan")
    def limit(self, request: StaffHttpRequest, object_id: str) -> HttpResponse:
        return key_pages.limit(self, request, row_or_404(ApiKey, object_id))

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        return with_rows_today(ApiKey.objects.defer("hashed_key"))

    @display(description="State", label=KEY_TONES)
    def state(self, key: ApiKey) -> str:
        if key.revoked:
            return "revoked"
        if key.has_expired:
            return "expired"
        return "rolled" if key.rolled_from else "live"

    @display(description="Scopes")
    def may(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @display(description="Networks")
    def places(self, key: ApiKey) -> str:
        return ", ".join(key.networks or ()) or "any"

    def add_view(
        self,
        request: StaffHttpRequest,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = KeyForm(request.POST or None)
        if form.is_valid() and (key := _made(request, form)):
            return key_pages.show(self, request, form.cleaned_data["name"], key)
        return ask(
            self, request, form,
            template="admin/everlearn/new_key.html",
            title="Make an API key",
            back=reverse("admin:everlearn_apikey_changelist"),
        )  # fmt: skip

    @action(description="Revoke", permissions=["revoke"], icon="block")
    def revoke(self, request: StaffHttpRequest, object_id: str) -> HttpResponse:
        key = row_or_404(ApiKey, object_id)
        if request.method == "POST":
            say(request, lambda: _revoked(key, request))
            return redirect("admin:everlearn_apikey_changelist")
        return ask(
            self, request, forms.Form(),
            template="admin/everlearn/revoke_key.html",
            title=f"Revoke {key.name}?",
            back=reverse("admin:everlearn_apikey_changelist"),
            key=key,
        )  # fmt: skip


def _made(request: StaffHttpRequest, form: KeyForm) -> str:
    """The new key; "" when it was refused, which the form then tells."""
    given = form.cleaned_data
    try:
        with transaction.atomic():
            key = keys.create_key(
                given["name"],
                given["scopes"],
                actor=request.user,
                expires_in=given["expires"],
                networks=given["networks"],
            )
            set_quotas(given["name"], form.quotas, actor=request.user)
        return key
    except keys.KeyRefused as refusal:
        form.add_error("name", refusal.detail)
        return ""


def _revoked(key: ApiKey, request: StaffHttpRequest) -> str:
    keys.revoke_key(key.name, actor=request.user)
    return f"{key.name} is revoked; within 5 s nobody is let in with it."


@admin.register(Success, Failure)
class TaskAdmin(ReadOnlyAdmin):
    """What the queue carried out; nothing can be run again from here."""

    list_display = ("name", "func", "success", "attempt_count", "started", "stopped")
    fields = list_display

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # They are pickles, and unpickling what somebody put into the table runs it.
        found: QuerySet[Any] = super().get_queryset(request)
        return found.defer("args", "kwargs", "result")


@admin.register(OrmQ)
class QueuedAdmin(ReadOnlyAdmin):
    """What waits in the queue; what is in a message is not opened for a look."""

    list_display = ("id", "key", "lock")
    fields = list_display


@admin.register(Schedule)
class ScheduleAdmin(ReadOnlyAdmin):
    """There should be none: a model's own triggers schedule it, and no row here is carried out."""

    list_display = ("id", "name", "func", "schedule_type", "next_run")
    fields = list_display
