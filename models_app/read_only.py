"""Pages of the admin that show what nobody edits there."""

from __future__ import annotations

from typing import Any, TypeVar

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from unfold.admin import ModelAdmin

Row = TypeVar("Row", bound=Model)


def row_or_404(kind: type[Row], object_id: str, **more: Any) -> Row:
    """The row of that id; an id that no row could have is none either. Raises Http404."""
    if not _is_key_of(kind, object_id):
        raise Http404
    return get_object_or_404(kind, pk=object_id, **more)


def _is_key_of(kind: type[Model], text: str) -> bool:
    try:
        kind._meta.pk.to_python(text)  # noqa: SLF001 - Django's API
    except (ValueError, ValidationError):
        return False
    return True


class StrictAdmin(ModelAdmin):
    """Refuses what Django's own lists answer with the list and a friendly 200, or with a 500."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        offered = self.get_actions(request)
        if request.method == "POST" and request.POST.get("action") not in offered:
            raise PermissionDenied("No such action is offered to you.")
        chosen = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if not all(_is_key_of(self.model, one) for one in chosen):
            raise Http404
        listed: HttpResponse = super().changelist_view(request, extra_context)
        return listed

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **options: Any
    ) -> HttpResponse:
        # The theme asks which buttons a row has before Django looks whether there is such a row.
        if object_id is not None and not _is_key_of(self.model, unquote(object_id)):
            raise Http404
        shown: HttpResponse = super().changeform_view(request, object_id, *args, **options)
        return shown


class ReadOnlyAdmin(StrictAdmin):
    """Shows rows that only the system writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
