from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from models_app.fields import Flag, Text, Whole
from models_app.learning.schema import MAX_PROBLEMS
from models_app.learning.spelling import MAX_HINTS, unknown_name
from models_app.models import Deployment, ModelVersion, RegisteredModel, TrainingSnapshot
from models_app.snapshot_sources import listed


class StrictSerializer(serializers.Serializer[Any]):
    """The members of a body; one that is unknown is refused by name.

    problems_left: how many problems the request may still report, when it is not the first.
    """

    problems_left = MAX_PROBLEMS

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = (name for name in data if name not in self.fields)
            if told := list(islice(unknown, max(1, self.problems_left))):
                hinted = self.problems_left - MAX_PROBLEMS + MAX_HINTS
                raise serializers.ValidationError(
                    {
                        name[:80]: [self._unknown(name, hint=number < hinted)]
                        for number, name in enumerate(told)
                    }
                )
        return super().to_internal_value(data)

    def _unknown(self, name: str, *, hint: bool) -> serializers.ErrorDetail:
        detail = unknown_name("member", name, self.fields, hint=hint)
        return serializers.ErrorDetail(detail, code="unknown_field")


class EmptyRequest(StrictSerializer):
    """What may be left out: it has no members."""


class PromotionRequest(StrictSerializer):
    version = Whole(min_value=1)
    expected_generation = Whole(required=False, min_value=0)
    reason = Text(max_length=1000)
    override = Flag(default=False)


class RollbackRequest(StrictSerializer):
    to = Whole(required=False, min_value=1)
    reason = Text(max_length=1000)


class ReadingSerializer(serializers.Serializer[Any]):
    """How a column of the base data is written, as far as that is not usual.

    Files of rows may be written so as well, and JSON may have dates in `format`; numbers are JSON
    numbers.
    """

    decimal = serializers.CharField(required=False)
    thousands = serializers.CharField(required=False)
    unit = serializers.CharField(required=False, help_text="A currency or `%` beside numbers.")
    format = serializers.CharField(required=False, help_text="Of dates, as strptime has it.")
    missing = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Words for a missing value."
    )


class FeatureSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    kind = serializers.ChoiceField(["number", "category", "text", "boolean", "datetime"])
    required = serializers.BooleanField()  # type: ignore[assignment]
    categories = serializers.ListField(child=serializers.CharField(), required=False)
    reading = ReadingSerializer(required=False, help_text="Left out where it is as usual.")
    label = serializers.CharField(  # type: ignore[assignment]
        required=False, help_text="What people call it; clients send the name."
    )


class ModelSerializer(serializers.ModelSerializer[RegisteredModel]):
    """A model as it serves: classes and features are the champion's, once there is one."""

    version = serializers.IntegerField(
        source="champion.number", default=None, allow_null=True, read_only=True
    )
    classes = serializers.SerializerMethodField()
    features = serializers.SerializerMethodField()
    metric_at_promotion = serializers.SerializerMethodField()
    live_metric = serializers.SerializerMethodField()

    class Meta:
        model = RegisteredModel
        fields = (
            "name", "task", "target", "classes", "metric", "features", "public", "version",
            "generation", "metric_at_promotion", "live_metric", "retrain", "promotion", "feedback",
        )  # fmt: skip

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_classes(self, model: RegisteredModel) -> Any:
        return model.champion.classes if model.champion else []

    @extend_schema_field(FeatureSerializer(many=True))
    def get_features(self, model: RegisteredModel) -> Any:
        features = model.champion.features if model.champion else model.features
        return [
            # The version may have been trained when people called a feature something else.
            _labelled(one, model.labels)
            for one in features
            if not one.get("ignored")
        ]

    def get_metric_at_promotion(self, model: RegisteredModel) -> float | None:
        return model.champion.metrics.get(model.metric) if model.champion else None

    def get_live_metric(self, _: RegisteredModel) -> float | None:
        return None


def _labelled(feature: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    told = {key: value for key, value in feature.items() if key != "label"}
    name = feature["name"]
    return {**told, "label": labels[name]} if name in labels else told


class SourceSerializer(serializers.Serializer[Any]):
    """How many rows a source of feedback gave to a training set, and what became of them."""

    source = serializers.CharField(  # type: ignore[assignment]
        help_text="An account, the network of an address, or `others`."
    )
    offered = serializers.IntegerField(help_text="Accepted rows that are not golden.")
    reviewed = serializers.IntegerField(help_text="Of these, rows that a reviewer stands for.")
    kept = serializers.IntegerField(help_text="Of these, rows within the source's share.")
    trained = serializers.IntegerField()
    judged = serializers.IntegerField(help_text="Held out, so that the gate compares on them.")
    unusable = serializers.IntegerField(help_text="Rows that no training can use.")
    broke_training = serializers.IntegerField(
        help_text="Rows that were set aside because training with them failed."
    )
    weight = serializers.FloatField(help_text="Part of the weight of all training rows, 0 to 1.")


class SnapshotSerializer(serializers.ModelSerializer[TrainingSnapshot]):
    class Meta:
        model = TrainingSnapshot
        fields: tuple[str, ...] = ("id", "digest", "rows", "feedback_rows")


class ContributedSnapshotSerializer(SnapshotSerializer):
    """A snapshot with who contributed how much to it, for those who may read versions."""

    sources = serializers.SerializerMethodField()

    class Meta(SnapshotSerializer.Meta):
        fields = (*SnapshotSerializer.Meta.fields, "sources")

    @extend_schema_field(SourceSerializer(many=True))
    def get_sources(self, snapshot: TrainingSnapshot) -> list[dict[str, Any]]:
        return listed(snapshot.sources or [], mask=True)


class VersionSerializer(serializers.ModelSerializer[ModelVersion]):
    aliases = serializers.SerializerMethodField()
    snapshot = ContributedSnapshotSerializer(allow_null=True)
    warnings = serializers.SerializerMethodField()

    class Meta:
        model = ModelVersion
        fields = (
            "number", "status", "aliases", "metrics", "mlflow_run_id", "snapshot",
            "code_revision", "parameters", "runtime", "bundle_digest", "unservable_because",
            "missing_in_registry", "warnings", "gate", "created_at",
        )  # fmt: skip

    @extend_schema_field(
        serializers.DictField(
            child=serializers.ListField(child=serializers.CharField()),
            help_text="What was odd about columns of the base data when it was trained.",
        )
    )
    def get_warnings(self, version: ModelVersion) -> Any:
        return version.warnings

    def get_aliases(self, version: ModelVersion) -> list[str]:
        aliases = version.registered_model.aliases.all()
        return sorted(alias.alias for alias in aliases if alias.number == version.number)


class DeploymentSerializer(serializers.ModelSerializer[Deployment]):
    version = serializers.IntegerField(source="version.number")
    previous = serializers.IntegerField(source="previous.number", default=None, allow_null=True)
    actor = serializers.CharField(source="actor.username")

    class Meta:
        model = Deployment
        fields = (
            "generation", "version", "previous", "action", "actor", "door", "reason",
            "override", "at",
        )  # fmt: skip


class LedgerPageSerializer(serializers.Serializer[Any]):
    """For the API's description; `pagination.Pages` writes it."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = DeploymentSerializer(many=True)


class ProcessSerializer(serializers.Serializer[Any]):
    host = serializers.CharField()
    pid = serializers.IntegerField()
    generation = serializers.IntegerField()
    loaded_at = serializers.CharField(allow_null=True)


class ReloadedSerializer(serializers.Serializer[Any]):
    generation = serializers.IntegerField()
    synced = serializers.BooleanField()
    reason = serializers.CharField(help_text="Why MLflow was not asked; empty when it was.")
    processes = ProcessSerializer(many=True)


class PredictionRequest(StrictSerializer):
    """For the API's description; `protocols.native` reads the body, which is on the hot path."""

    instances = serializers.ListField(child=serializers.DictField(), max_length=1000)
    subject = serializers.CharField(required=False, max_length=255)
    explain = serializers.BooleanField(
        default=False, help_text="Also say what each feature contributed to each answer."
    )


class WarningSerializer(serializers.Serializer[Any]):
    code = serializers.ChoiceField(["unseen_category"])
    attr = serializers.CharField()


class PredictionSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    value = serializers.JSONField(help_text="A class as text, or a number in regression.")
    probabilities = serializers.DictField(child=serializers.FloatField(), required=False)
    warnings = WarningSerializer(many=True, required=False)
    explanation = serializers.DictField(
        child=serializers.FloatField(),
        required=False,
        help_text="By how much each feature's value moved the probability of the answered class "
        "(or the number), against usual values in its place.",
    )


class AnsweredSerializer(serializers.Serializer[Any]):
    model = serializers.CharField()
    version = serializers.IntegerField()
    generation = serializers.IntegerField()
    predictions = PredictionSerializer(many=True)
