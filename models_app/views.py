from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, PolymorphicProxySerializer, extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app import promotion, reloading
from models_app.learning.schema import Problem
from models_app.models import Deployment, ModelVersion, RegisteredModel
from models_app.pagination import Pages
from models_app.refusals import InvalidInput, NotFound
from models_app.serializers import (
    DeploymentSerializer,
    EmptyRequest,
    LedgerPageSerializer,
    ModelSerializer,
    PromotionRequest,
    ReloadedSerializer,
    RollbackRequest,
    VersionSerializer,
)


def find_model(name: str) -> RegisteredModel:
    """The model of that name, unless it is retired. Raises NotFound."""
    model = RegisteredModel.objects.filter(name=name, retired_at=None).first()
    if model is None:
        raise NotFound(f"There is no model '{name[:63]}'.")
    return model


def find_version(model: RegisteredModel, number: int) -> ModelVersion:
    """The model's version of that number. Raises NotFound."""
    version = model.versions.filter(number=number).first()
    if version is None:
        raise NotFound(f"{model} has no version {number}.")
    return version


class ActorRequest(Request):
    """A request that came past a scope: somebody made it."""

    user: User


class ModelView(generics.GenericAPIView[RegisteredModel]):
    """Public models for everybody, all for those who may read."""

    serializer_class = ModelSerializer

    def get_queryset(self) -> QuerySet[RegisteredModel]:
        models = RegisteredModel.objects.filter(retired_at=None).select_related("champion")
        if self.request.user.has_perm("models_app.view_registeredmodel"):
            return models
        return models.filter(public=True)


class ModelListView(ModelView, generics.ListAPIView[RegisteredModel]):
    pagination_class = Pages
    ordering = ("name",)


class ModelDetailView(ModelView, generics.RetrieveAPIView[RegisteredModel]):
    lookup_field = "name"

    def open_to(self, _: Request) -> bool:
        name = self.kwargs["name"]
        return RegisteredModel.objects.filter(name=name, public=True, retired_at=None).exists()


class VersionListView(generics.ListAPIView[ModelVersion]):
    serializer_class = VersionSerializer
    pagination_class = Pages
    ordering = ("-number",)

    def get_queryset(self) -> QuerySet[ModelVersion]:
        versions = find_model(self.kwargs["name"]).versions.select_related("snapshot")
        return versions.prefetch_related("registered_model__aliases")


class VersionDetailView(APIView):
    @extend_schema(responses=VersionSerializer)
    def get(self, _: Request, name: str, number: int) -> Response:
        return Response(VersionSerializer(find_version(find_model(name), number)).data)


class PromoteView(APIView):
    @extend_schema(request=PromotionRequest, responses=DeploymentSerializer)
    def post(self, request: ActorRequest, name: str) -> Response:
        asked = PromotionRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        options = dict(asked.validated_data)
        version = find_version(find_model(name), options.pop("version"))
        deployment = promotion.promote(
            version, actor=request.user, door=Deployment.Door.API, **options
        )
        return Response(DeploymentSerializer(deployment).data)


class RollbackView(APIView):
    @extend_schema(request=RollbackRequest, responses=DeploymentSerializer)
    def post(self, request: ActorRequest, name: str) -> Response:
        asked = RollbackRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        model, number = find_model(name), asked.validated_data.get("to")
        deployment = promotion.rollback(
            model,
            to=find_version(model, number) if number else None,
            actor=request.user,
            door=Deployment.Door.API,
            reason=asked.validated_data["reason"],
        )
        return Response(DeploymentSerializer(deployment).data)


class ReloadView(APIView):
    @extend_schema(request=None, responses=ReloadedSerializer)
    def post(self, request: ActorRequest, name: str) -> Response:
        return reload_response(request, name)


def reload_response(request: ActorRequest, name: str) -> Response:
    EmptyRequest(data=request.data).is_valid(raise_exception=True)
    return Response(asdict(reloading.reload(find_model(name), actor=request.user)))


class DeploymentListView(generics.ListAPIView[Deployment]):
    """The ledger, newest first; with `at`, the one line that served then."""

    serializer_class = DeploymentSerializer
    pagination_class = Pages
    ordering = ("-generation",)

    def get_queryset(self) -> QuerySet[Deployment]:
        lines = find_model(self.kwargs["name"]).deployments
        return lines.select_related("version", "previous", "actor")

    @extend_schema(
        parameters=[OpenApiParameter("at", OpenApiTypes.DATETIME)],
        responses=PolymorphicProxySerializer(
            component_name="LedgerPageOrLine",
            serializers=[LedgerPageSerializer, DeploymentSerializer],
            resource_type_field_name=None,
            many=False,
        ),
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        if "at" not in request.query_params:
            return super().get(request, *args, **kwargs)
        line = self.get_queryset().filter(at__lte=_moment(request.query_params["at"])).first()
        if line is None:
            raise NotFound("Nothing served then.")
        return Response(DeploymentSerializer(line).data)


def _moment(text: str) -> datetime:
    # In UTC, since PostgreSQL takes no zone more than sixteen hours away from it.
    with suppress(ValueError, OverflowError):
        # A `+` that was not escaped arrives as a space.
        moment = parse_datetime(text.replace(" ", "+"))
        if moment is not None and not is_naive(moment):
            return moment.astimezone(UTC)
    detail = "A time with its zone is expected, as 2024-05-31T12:00:00Z."
    raise InvalidInput([Problem("at", "invalid", detail)])
