from __future__ import annotations

from datetime import timedelta
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from feedback_app import run_errors
from feedback_app.models import Feedback, FeedbackReview, RetrainingRun
from models_app.fields import Flag, Id, Text, Whole
from models_app.learning.triggers import parse_duration
from models_app.models import Prediction
from models_app.serializers import SnapshotSerializer, StrictSerializer


class FeedbackRequest(StrictSerializer):
    """The right answer, to a prediction or to features of one's own."""

    prediction = Id(required=False)
    model = Text(required=False, max_length=63)
    features = serializers.DictField(required=False)
    value = serializers.JSONField(help_text="A class, or a number in regression.")
    comment = Text(required=False, allow_blank=True, max_length=2000)


class FeedbackSerializer(serializers.ModelSerializer[Feedback]):
    """A word of feedback, as its reader may see it.

    The context tells `reviewer`, whether the reader may review feedback; else it is shown as to
    one who may not, since a status and a reason may tell which rows judge the versions.
    """

    model = serializers.CharField(source="registered_model.name")
    reason_details = serializers.DictField(
        read_only=True, help_text="For reviewers: which values a reason is about."
    )

    class Meta:
        model = Feedback
        fields = (
            "id", "status", "reasons", "reason_details", "prediction", "model", "features",
            "value", "comment", "superseded_by", "at",
        )  # fmt: skip

    def to_representation(self, feedback: Feedback) -> dict[str, Any]:
        reviewer = bool(self.context.get("reviewer"))
        return super().to_representation(feedback) | {
            "status": feedback.status_for(reviewer=reviewer),
            "reasons": feedback.reasons_for(reviewer=reviewer),
            "reason_details": (reviewer and feedback.reason_details) or {},
        }


class ReviewRequest(StrictSerializer):
    """A person's decision on a word of feedback."""

    decision = serializers.ChoiceField(FeedbackReview.Decision.choices)
    value = serializers.JSONField(
        required=False, help_text="With accept: the right answer, when what was said is wrong."
    )
    reason = Text(max_length=1000)


class FeedbackLinkRequest(StrictSerializer):
    """How long a link shall be good for."""

    expires_in = Text(
        required=False, max_length=16, help_text="As 30s, 15m, 6h or 7d, the default; up to 365d."
    )

    def validate_expires_in(self, text: str) -> timedelta:
        try:
            return parse_duration(text)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from None


class FeedbackLinkSerializer(serializers.Serializer[Any]):
    url = serializers.URLField()
    expires_at = serializers.DateTimeField()


class ErrorSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    detail = serializers.CharField()
    attr = serializers.CharField(allow_null=True)


class FeedbackResultSerializer(serializers.Serializer[Any]):
    """What became of one item: its id and status, or its errors."""

    index = serializers.IntegerField()
    code = serializers.IntegerField(help_text="The HTTP status that it would have had alone.")
    id = serializers.UUIDField(required=False)
    status = serializers.ChoiceField(Feedback.Status.choices, required=False)
    errors = ErrorSerializer(many=True, required=False)  # type: ignore[assignment]


class FeedbackResultsSerializer(serializers.Serializer[Any]):
    results = FeedbackResultSerializer(many=True)


class FeedbackFilter(serializers.Serializer[Any]):
    model = serializers.CharField(required=False)
    status = serializers.ChoiceField(Feedback.Status.choices, required=False)
    since = serializers.DateTimeField(required=False)


class RunFilter(serializers.Serializer[Any]):
    model = serializers.CharField(required=False)
    status = serializers.ChoiceField(RetrainingRun.Status.choices, required=False)


class RetrainRequest(StrictSerializer):
    reason = Text(required=False, allow_blank=True, max_length=1000)
    data = Text(required=False, max_length=1000)  # type: ignore[assignment]
    external = Flag(
        default=False, help_text="The one who asks trains it, and reports on the run meanwhile."
    )


class RunStartedSerializer(serializers.ModelSerializer[RetrainingRun]):
    run = serializers.IntegerField(source="pk")

    class Meta:
        model = RetrainingRun
        fields = ("run", "status")


class ProgressSerializer(serializers.Serializer[Any]):
    step = serializers.CharField()
    done = serializers.IntegerField()
    total = serializers.IntegerField()


class ReportedProgress(StrictSerializer):
    step = Text(max_length=64)
    done = Whole(min_value=0, max_value=2**31 - 1)
    total = Whole(min_value=0, max_value=2**31 - 1)


class RunReport(StrictSerializer):
    """What a workflow that trains a run says of it, every 30 s and when it has ended."""

    reporter = Text(max_length=200, help_text="Who trains it: the URL of the workflow's run, say.")
    status = serializers.ChoiceField(["running", "failed", "registered"])
    progress = ReportedProgress(required=False)
    version = Whole(
        required=False, min_value=1, help_text="With registered: its number; MLflow tells it."
    )
    error = Text(required=False, allow_blank=True, max_length=10_000)


@extend_schema_field(OpenApiTypes.STR)
class TextOrNull(serializers.Field[str, Any, str | None, Any]):
    """Null rather than an empty string."""

    def __init__(self, **options: Any) -> None:
        super().__init__(read_only=True, allow_null=True, **options)

    def to_representation(self, value: str) -> str | None:
        return value or None


class RunSerializer(serializers.ModelSerializer[RetrainingRun]):
    """A run; context: the request, as not everybody is told the whole of an error."""

    model = serializers.CharField(source="registered_model.name")
    progress = ProgressSerializer(source="*")
    snapshot = SnapshotSerializer(allow_null=True)
    attempts = serializers.SerializerMethodField(
        help_text="Those that ended because GitHub did not answer are left out."
    )
    version = serializers.IntegerField(source="version.number", default=None, allow_null=True)
    verdict = TextOrNull()
    gate = serializers.JSONField(source="version.gate", default=None, allow_null=True)
    mlflow_run_id = TextOrNull()
    reporter = TextOrNull()
    error = serializers.SerializerMethodField()

    class Meta:
        model = RetrainingRun
        fields = (
            "id", "model", "status", "trigger", "reason", "attempts", "progress", "snapshot",
            "version", "verdict", "gate", "mlflow_run_id", "reporter", "error", "created_at",
            "started_at", "handed_over_at", "ended_at",
        )  # fmt: skip

    def get_attempts(self, run: RetrainingRun) -> int:
        return run.attempts - run.waits

    def get_error(self, run: RetrainingRun) -> str | None:
        request = self.context.get("request")
        return run_errors.told(run, request and request.user) or None


class LoggedPredictionSerializer(serializers.ModelSerializer[Any]):
    """A prediction, what was said about it, and the training sets that this went into."""

    model = serializers.CharField(source="registered_model.name")
    version = serializers.IntegerField(source="version.number")
    feedback = FeedbackSerializer(many=True)
    snapshots = SnapshotSerializer(many=True)

    class Meta:
        model = Prediction
        fields = (
            "id", "model", "version", "generation", "at", "input", "value", "probabilities",
            "subject", "feedback", "snapshots",
        )  # fmt: skip
