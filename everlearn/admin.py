"""The admin of accounts; and what other apps put there that nobody here may use."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django_q.models import Failure, OrmQ, Schedule, Success
from rest_framework_api_key.models import APIKey
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from everlearn.access import GROUPS

# Schedule and OrmQ run any function that is named in them; keys have scopes and accounts here.
for _model in (Schedule, OrmQ, Success, Failure, APIKey, User, Group):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)


@admin.register(User)
class UserAdmin(DjangoUserAdmin[User], ModelAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """Groups of one's own; EverLearn's are kept to the table in `access` at each start."""

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        ours = obj is not None and obj.name in GROUPS
        return not ours and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        ours = obj is not None and obj.name in GROUPS
        return not ours and super().has_delete_permission(request, obj)
