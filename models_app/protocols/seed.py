"""The routes of the pipeline that EverLearn grew from, for the default model."""

from __future__ import annotations

from itertools import islice
from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from models_app import following, serving
from models_app.learning.schema import MAX_PROBLEMS, Problem
from models_app.protocols import native
from models_app.refusals import InvalidInput
from models_app.serializers import ReloadedSerializer
from models_app.serving import Answered
from models_app.views import ActorRequest, reload_response

RETRY_AFTER_SECONDS = "2"


class DefaultPredictView(native.AnsweringView):
    """Takes columns, `{"feature": [v1, v2]}`, or the native `{"instances": […]}`.

    Without a key, numbers are rounded and quotas hold as on the native route.
    """

    def open_to(self, _: Request) -> bool:
        return serving.registered(serving.default_name()).public

    @extend_schema(request=OpenApiTypes.OBJECT, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request) -> HttpResponse:
        served = serving.registered(serving.default_name())
        body = request.data
        if _is_native(body, served):
            answered = self.predict(served.name, door="seed", **native.read(body))
            return native.written(answered, _headers(answered))
        answered = self.predict(served.name, rows_of(body), door="seed")
        values = [prediction["value"] for prediction in answered.predictions]
        return Response({served.target: values}, headers=_headers(answered))


def _is_native(body: Any, served: following.Served) -> bool:
    if not isinstance(body, dict) or "instances" not in body:
        return False
    # A model may have a feature of that very name.
    return served.bundle is None or "instances" not in served.bundle.schema.names


def rows_of(body: Any) -> list[object]:
    """The instances in columns of equal length. Raises InvalidInput."""
    if not isinstance(body, dict) or not body:
        raise InvalidInput(
            [Problem("", "invalid_type", "Lists of values by feature are expected.")]
        )
    wrong = (name for name, values in body.items() if not isinstance(values, list))
    if told := list(islice(wrong, MAX_PROBLEMS)):
        detail = "A list of values is expected."
        raise InvalidInput([Problem(name[:80], "invalid_type", detail) for name in told])
    length = len(next(iter(body.values())))
    for name, values in body.items():
        if len(values) != length:
            detail = f"{len(values)} values are given, the first feature has {length}."
            raise InvalidInput([Problem(name[:80], "unequal_lengths", detail)])
    return [dict(zip(body, row, strict=True)) for row in zip(*body.values(), strict=True)]


def _headers(answered: Answered) -> dict[str, str]:
    return {
        "X-Model-Version": str(answered.version),
        "X-Prediction-Ids": ",".join(prediction["id"] for prediction in answered.predictions),
    }


class DefaultReloadView(APIView):
    @extend_schema(request=None, responses=ReloadedSerializer)
    def post(self, request: ActorRequest) -> Response:
        return reload_response(request, serving.default_name())


class ProbeView(APIView):
    """Asked by machines that hold no key."""

    authentication_classes: tuple[type[BaseAuthentication], ...] = ()
    permission_classes: tuple[type[BasePermission], ...] = ()
    throttle_classes: tuple[type[BaseThrottle], ...] = ()


class HealthView(ProbeView):
    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, _: Request) -> Response:
        return Response({"status": "ok"})


class ReadyView(ProbeView):
    @extend_schema(responses={200: OpenApiTypes.OBJECT, 503: OpenApiTypes.OBJECT})
    def get(self, _: Request) -> Response:
        ready = following.ready()
        body = {"ready": ready, "degraded": following.degraded()}
        if ready:
            return Response(body)
        return Response(body, status=503, headers={"Retry-After": RETRY_AFTER_SECONDS})
