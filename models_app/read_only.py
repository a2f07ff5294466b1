"""Pages of the admin that show what nobody edits there."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin


class StrictAdmin(ModelAdmin):
    """Refuses what Django's own lists answer with the list and a friendly 200."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        offered = self.get_actions(request)
        if request.method == "POST" and request.POST.get("action") not in offered:
            raise PermissionDenied("No such action is offered to you.")
        listed: HttpResponse = super().changelist_view(request, extra_context)
        return listed


class ReadOnlyAdmin(StrictAdmin):
    """Shows rows that only the system writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
