"""Feedback by the API: given, once however often it is sent, and looked at."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
)
from rest_framework import generics
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from feedback_app import idempotency, intake, links, lists, reviewing
from feedback_app.idempotency import Answer, Attempt
from feedback_app.models import Feedback
from feedback_app.serializers import (
    FeedbackFilter,
    FeedbackLinkRequest,
    FeedbackLinkSerializer,
    FeedbackRequest,
    FeedbackResultsSerializer,
    FeedbackSerializer,
    ReviewRequest,
)
from models_app import serving
from models_app.pagination import Pages
from models_app.refusals import NotFound
from models_app.strangers import address_of
from models_app.views import ActorRequest

REPLAYED = "Idempotent-Replayed"

ONE_OR_MANY = PolymorphicProxySerializer(
    component_name="FeedbackOneOrMany",
    serializers=[FeedbackRequest, FeedbackRequest(many=True)],
    resource_type_field_name=None,
    many=False,
)
TAKEN = PolymorphicProxySerializer(
    component_name="FeedbackTaken",
    serializers=[FeedbackResultsSerializer, FeedbackSerializer],
    resource_type_field_name=None,
    many=False,
)
GIVES_FEEDBACK = extend_schema(
    parameters=[
        OpenApiParameter(
            "Idempotency-Key",
            {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
            OpenApiParameter.HEADER,
            description=(
                "Sent again with the same key and body, the request is not carried out again but "
                "answered as before, with status 200. Kept for a day or more, for each client and "
                "route. Another body: 422 `idempotency_mismatch`. Still under way: 409 "
                "`idempotency_in_progress`, with `Retry-After`. Refusals are not remembered."
            ),
        ),
        OpenApiParameter(
            REPLAYED,
            {"type": "string", "enum": ["true"]},
            OpenApiParameter.HEADER,
            response=[200],
            description="The request was carried out before; this is what was answered then.",
        ),
    ],
    request=ONE_OR_MANY,
    responses={
        201: FeedbackSerializer,
        200: OpenApiResponse(
            TAKEN, "For a list: each item's outcome. Or what was answered the first time."
        ),
    },
)


class FeedbackView(generics.ListAPIView[Feedback]):
    """Feedback: anybody's on public models, clients' own to look at, all for readers."""

    serializer_class = FeedbackSerializer
    pagination_class = Pages
    ordering = ("-id",)

    def open_to(self, request: Request) -> bool:
        # Whether the model is public only the body tells; `intake` holds it to that.
        return request.method == "POST"

    def get_queryset(self) -> QuerySet[Feedback]:
        user = self.request.user
        asked = FeedbackFilter(data=self.request.query_params)
        asked.is_valid(raise_exception=True)
        found = Feedback.objects.select_related("registered_model").filter(
            Q() if user.has_perm("feedback_app.view_feedback") else Q(given_by_id=user.pk)
        )
        found = found.with_shown_status(reviewer=reviewing.may_review(user))
        names = {"model": "registered_model__name", "status": "shown_status", "since": "at__gte"}
        return found.filter(**{names[name]: value for name, value in asked.validated_data.items()})

    def get_serializer_context(self) -> dict[str, Any]:
        reviewer = reviewing.may_review(self.request.user)
        return {**super().get_serializer_context(), "reviewer": reviewer}

    @extend_schema(parameters=[FeedbackFilter])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @GIVES_FEEDBACK
    def post(self, request: Request) -> Response:
        return take_feedback(request)


class DefaultFeedbackView(APIView):
    """The same, on the default model when an item names none."""

    def open_to(self, _: Request) -> bool:
        return True

    @GIVES_FEEDBACK
    def post(self, request: Request) -> Response:
        return take_feedback(request, default_model=serving.default_name())


def take_feedback(request: Request, *, default_model: str = "") -> Response:
    """Answer a body of feedback, one item or a list of them."""
    user = request.user if request.user.is_authenticated else None
    speaker = intake.Speaker(user, address_of(request.META))
    key = request.headers.get("Idempotency-Key")
    if key is None:
        answer = _record(request.data, speaker, default_model)
    else:
        attempt = Attempt.of(key, client=speaker.client, route=request.path, body=request.data)
        answer = idempotency.answer_once(
            attempt,
            lambda: _record(request.data, speaker, default_model),
            consumer=speaker.consumer,
        )
    headers = {REPLAYED: "true"} if answer.replayed else {}
    return Response(answer.body, status=answer.status, headers=headers)


def _record(body: object, speaker: intake.Speaker, default_model: str) -> Answer:
    if isinstance(body, list):
        results = lists.record_list(body, speaker=speaker, default_model=default_model)
        return Answer(200, {"results": results})
    word = lists.word_of(body, default_model=default_model)
    try:
        feedback = intake.record(word, speaker=speaker)
    except NotFound:
        # To someone without a key a private model looks as one that does not exist.
        if speaker.user is None and word.prediction is None:
            raise NotAuthenticated from None
        raise
    shown = FeedbackSerializer(feedback, context={"reviewer": speaker.trusted})
    return Answer(201, shown.data, feedback)


class ReviewView(APIView):
    """Let a word of feedback train, perhaps with another value, or not; with the reason why.

    The answer is the word that stands now. Another value takes the place of the word, which is
    then `superseded`; one that was superseded before is decided on no more: 409.
    """

    @extend_schema(request=ReviewRequest, responses=FeedbackSerializer)
    def post(self, request: ActorRequest, pk: UUID) -> Response:
        asked = ReviewRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        feedback = Feedback.objects.filter(pk=pk).first()
        if feedback is None:
            raise NotFound("There is no such feedback.")
        stands = reviewing.review(feedback, actor=request.user, **asked.validated_data)
        return Response(FeedbackSerializer(stands, context={"reviewer": True}).data)


class FeedbackLinkView(APIView):
    """A page for somebody without an account, to say once whether this prediction was right."""

    @extend_schema(request=FeedbackLinkRequest, responses={201: FeedbackLinkSerializer})
    def post(self, request: ActorRequest, pk: UUID) -> Response:
        asked = FeedbackLinkRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        link = links.make_link(pk, actor=request.user, **asked.validated_data)
        return Response(FeedbackLinkSerializer(link).data, status=201)
