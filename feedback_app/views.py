from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from feedback_app import handing_over, retraining, reviewing
from feedback_app.models import Feedback, RetrainingRun
from feedback_app.serializers import (
    LoggedPredictionSerializer,
    RetrainRequest,
    RunFilter,
    RunReport,
    RunSerializer,
    RunStartedSerializer,
)
from models_app import addresses, serving, tracing
from models_app.declaration import DeclarationRefused, locate_beside
from models_app.learning.schema import Problem
from models_app.models import Prediction, RegisteredModel, TrainingSnapshot
from models_app.pagination import Pages
from models_app.refusals import Gone, InvalidInput, NotFound
from models_app.serializers import EmptyRequest
from models_app.views import ActorRequest, find_model

Trigger = RetrainingRun.Trigger

STARTS_A_RUN = extend_schema(
    request=RetrainRequest,
    responses={
        202: RunStartedSerializer,
        200: OpenApiResponse(RunStartedSerializer, "The run that is active already."),
    },
    parameters=[OpenApiParameter("Location", str, OpenApiParameter.HEADER, response=[200, 202])],
)


class RetrainView(APIView):
    @STARTS_A_RUN
    def post(self, request: ActorRequest, name: str) -> Response:
        return start_run(request, find_model(name))


class DefaultTriggerView(APIView):
    @STARTS_A_RUN
    def post(self, request: ActorRequest) -> Response:
        return start_run(request, find_model(serving.default_name()))


def start_run(request: ActorRequest, registered_model: RegisteredModel) -> Response:
    """Queue a run: 202, or 200 with the run that is active already."""
    asked = _checked(RetrainRequest, request.data)
    if data := asked.get("data"):
        asked["data"] = _allowed_data(data, registered_model.data)
    external = asked.pop("external")
    run, created = retraining.request(
        registered_model,
        actor=request.user,
        trigger=Trigger.EXTERNAL if external else Trigger.MANUAL,
        **asked,
    )
    tracing.note(run=run.pk)
    return Response(
        RunStartedSerializer(run).data,
        status=202 if created else 200,
        headers={"Location": reverse("run", args=[run.pk])},
    )


def _allowed_data(data: str, declared: str) -> str:
    """Where a client may have data read: on the public internet, or beside the declared data."""
    try:
        if data.startswith(("http://", "https://")):
            addresses.check_address(data)
            return data
        return locate_beside(data, declared, apart_from=settings.EVERLEARN_HOME)
    except addresses.SourceRefused as refusal:
        raise InvalidInput([Problem("data", refusal.code, refusal.detail)]) from refusal
    except DeclarationRefused as refusal:
        raise InvalidInput([Problem("data", "data_not_allowed", str(refusal))]) from refusal


RUNS = RetrainingRun.objects.select_related("registered_model", "snapshot", "version")


class RunListView(generics.ListAPIView[RetrainingRun]):
    """Runs, newest first."""

    serializer_class = RunSerializer
    pagination_class = Pages
    ordering = ("-id",)

    def get_queryset(self) -> QuerySet[RetrainingRun]:
        asked = _checked(RunFilter, self.request.query_params)
        names = {"model": "registered_model__name", "status": "status"}
        return RUNS.filter(**{names[name]: value for name, value in asked.items()})

    @extend_schema(parameters=[RunFilter])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class RunDetailView(APIView):
    @extend_schema(responses=RunSerializer)
    def get(self, request: Request, pk: int) -> Response:
        return Response(RunSerializer(find_run(pk), context={"request": request}).data)


def find_run(pk: int, *, of: RegisteredModel | None = None) -> RetrainingRun:
    """The run of that id, if it is of that model. Raises NotFound."""
    run = RUNS.filter(pk=pk).first()
    if run is None or (of and run.registered_model != of):
        raise NotFound(f"There is no run {pk}.")
    return run


class CancelRunView(APIView):
    @extend_schema(request=None, responses=RunSerializer)
    def post(self, request: ActorRequest, pk: int) -> Response:
        EmptyRequest(data=request.data).is_valid(raise_exception=True)
        run = retraining.cancel(find_run(pk), actor=request.user)
        return Response(RunSerializer(run, context={"request": request}).data)


class ReportRunView(APIView):
    """The heartbeat of a workflow that trains a run; the answer tells it how the run stands.

    Once that is neither queued nor running, there is nothing more to do or to report.
    """

    @extend_schema(request=RunReport, responses=RunSerializer)
    def post(self, request: ActorRequest, pk: int) -> Response:
        said = _checked(RunReport, request.data)
        said.pop("version", None)
        tracing.note(run=pk)
        handing_over.report(find_run(pk), actor=request.user, **said)
        return Response(RunSerializer(find_run(pk), context={"request": request}).data)


class PredictionView(APIView):
    """A prediction: its client's own, or anybody's for readers."""

    @extend_schema(responses=LoggedPredictionSerializer)
    def get(self, request: ActorRequest, pk: UUID) -> Response:
        found = Prediction.objects.select_related("registered_model", "version")
        if not request.user.has_perm("models_app.view_prediction"):
            found = found.filter(client_id=request.user.pk)
        prediction = found.filter(pk=pk).first()
        if prediction is None:
            raise NotFound("There is no such prediction.")
        if prediction.forgotten_at is not None:
            raise Gone("What that prediction was about has been forgotten.")
        reviewer = reviewing.may_review(request.user)
        told = _with_lineage(prediction, reviewer=reviewer)
        return Response(LoggedPredictionSerializer(told, context={"reviewer": reviewer}).data)


def _with_lineage(prediction: Prediction, *, reviewer: bool) -> dict[str, Any]:
    words = Feedback.objects.filter(prediction=prediction).select_related("registered_model")
    lineage = Feedback.snapshots.through.objects.filter(feedback__in=words)
    snapshots = Q(pk__in=lineage.values("trainingsnapshot_id")) if reviewer else _offered_to(words)
    names = ("id", "generation", "at", "input", "value", "probabilities", "subject")
    return {name: getattr(prediction, name) for name in names} | {
        "registered_model": prediction.registered_model,
        "version": prediction.version,
        "feedback": words,
        "snapshots": TrainingSnapshot.objects.filter(snapshots),
    }


def _offered_to(words: Iterable[Feedback]) -> Q:
    """The snapshots that words were offered to, be they in them or not.

    That a word is in none of them, or in one beyond its source's share, would tell that its row is
    golden.
    """
    judged_only = Q(trigger=Trigger.EXTERNAL, handed_over_at=None)
    since = Q(pk__in=())
    for word in words:
        if word.status_for(reviewer=False) == Feedback.Status.ACCEPTED:
            accepted_at = word.accepted_at or word.at
            since |= Q(registered_model=word.registered_model_id, started_at__gte=accepted_at)
    runs = RetrainingRun.objects.exclude(judged_only).exclude(snapshot=None).filter(since)
    return Q(pk__in=runs.values("snapshot"))


def _checked(kind: type[Serializer[Any]], given: object) -> dict[str, Any]:
    """What was given, as `kind` takes it. Raises ValidationError."""
    asked = kind(data=given)
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)
