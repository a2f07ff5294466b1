from typing import Any

from django.core.exceptions import ValidationError
from django.db import DataError
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

from models_app.learning.schema import Problem
from models_app.refusals import InvalidInput


class Pages(CursorPagination):
    """Pages of a list, in the order that the view names in `ordering`."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 1000

    def get_ordering(self, request: Request, queryset: Any, view: Any) -> tuple[str, ...]:
        ordering: tuple[str, ...] = view.ordering
        return ordering

    def get_page_size(self, request: Request) -> int:
        asked = request.query_params.get("page_size", "50")
        if not (asked.isascii() and asked.isdecimal() and int(asked[:9]) >= 1):
            detail = f"A whole number from 1 to {self.max_page_size} is expected."
            raise InvalidInput([Problem("page_size", "invalid", detail)])
        return min(int(asked[:9]), self.max_page_size)

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> Any:
        try:
            return super().paginate_queryset(queryset, request, view)
        except (ValueError, ValidationError, DataError) as error:
            # A cursor that somebody made up, with a position that no column could have.
            raise NotFound(self.invalid_cursor_message) from error
