"""How the OpenAPI schema describes our authentication and what every route may answer."""

from __future__ import annotations

from typing import Any, Literal

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from rest_framework import serializers

from feedback_app.serializers import ErrorSerializer


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "everlearn.authentication.KeyAuthentication"
    name = "key"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": "An API key."}


class StaffSessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "everlearn.authentication.StaffSessionAuthentication"
    name = "staff"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        name = settings.SESSION_COOKIE_NAME
        return {"type": "apiKey", "in": "cookie", "name": name, "description": "A staff login."}


class ErrorsSerializer(serializers.Serializer[Any]):
    """What every route answers when it does not do what was asked."""

    type = serializers.ChoiceField(["validation_error", "client_error", "server_error"])
    errors = ErrorSerializer(many=True)  # type: ignore[assignment]
    generation = serializers.IntegerField(
        required=False, help_text="With generation_conflict: the one that serves now."
    )


ALWAYS = {
    "400": "What was sent is wrong; `attr` says where.",
    "404": "There is no such thing, or none for the one who asks.",
    "405": "The route takes other methods.",
    "409": "The thing is not in a state that allows it.",
    "429": "Too many requests, or more than is left of a daily quota: `quota_exceeded`.",
    "500": "Something broke.",
    "503": "Not now: nothing is promoted, or the storage is busy.",
}
GUARDED = {"401": "No key, or one that is wrong.", "403": "The key's scopes do not allow it."}
CHANGING = {
    "413": "The body is too long, or has too many items.",
    "415": "The body is not plain JSON.",
    "422": "Understood and refused, as by the gate.",
    "504": "The model gave no answer in time.",
}
RETRYABLE = ("429", "503")


class ErrorAwareSchema(AutoSchema):
    """Adds to each operation the errors that any route may answer, and the headers of answers."""

    def _get_response_bodies(
        self, direction: Literal["request", "response"] = "response"
    ) -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        errors = ALWAYS | (GUARDED if self.view.authentication_classes else {})
        if self.method not in ("GET", "HEAD", "OPTIONS"):
            errors |= CHANGING
        for status, meaning in errors.items():
            if status not in bodies:
                body = self._get_response_for_code(  # type: ignore[no-untyped-call]
                    ErrorsSerializer, status
                )
                bodies[status] = body | {"description": meaning}
        return dict(sorted(bodies.items()))

    def _get_response_headers_for_code(
        self, status_code: str, direction: Literal["request", "response"] = "response"
    ) -> dict[str, Any]:
        headers: dict[str, Any] = super()._get_response_headers_for_code(status_code, direction)
        headers["X-Request-ID"] = {
            "required": True,
            "schema": {"type": "string"},
            "description": "Names this request in the logs.",
        }
        if status_code in (*RETRYABLE, "409"):
            headers["Retry-After"] = {
                # Of conflicts only those that end by themselves have it: idempotency_in_progress
                # and run_not_handed_over.
                "required": status_code in RETRYABLE,
                "schema": {"type": "integer"},
                "description": "Seconds.",
            }
        return headers
