"""What is served: registered models, their versions, who promoted what, and every prediction.

`RegisteredModel.champion` is the truth of what serves; it moves only in `promotion`, with a
`Deployment` line. MLflow is the truth of experiments, mirrored here by `reconciling`.
"""

from __future__ import annotations

import hashlib
import json
import uuid

import uuid_utils.compat
from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

from models_app.append_only import AppendOnly
from models_app.learning.reading import USUAL, Reading
from models_app.learning.schema import Schema

MODEL_NAME = r"[a-z0-9][a-z0-9_-]{0,62}"


def new_id() -> uuid.UUID:
    """A UUIDv7: ids that sort by the time they were made."""
    return uuid_utils.compat.uuid7()


def _schema_of(row: RegisteredModel | ModelVersion) -> Schema:
    # Kept: it is asked for once for each of ten thousand words of feedback.
    known: tuple[object, Schema] | None = row.__dict__.get("_schema")
    if known is None or known[0] is not row.features:
        known = row.features, Schema.from_json(row.features)
        row.__dict__["_schema"] = known
    return known[1]


class RegisteredModel(models.Model):
    """A named model: what it learns from, who may ask it, and which version answers."""

    class Task(models.TextChoices):
        CLASSIFICATION = "classification"
        REGRESSION = "regression"

    name = models.CharField(
        max_length=63, unique=True, validators=[RegexValidator(rf"^{MODEL_NAME}\Z")]
    )
    task = models.CharField(max_length=16, choices=Task)
    data = models.CharField(max_length=1000, help_text="Path or URL of the base data.")
    target = models.CharField(max_length=255, help_text="The column to predict.")
    public = models.BooleanField(
        default=False, help_text="Anyone may ask for predictions and give feedback."
    )
    estimator = models.CharField(max_length=255, default="auto")
    metric = models.CharField(max_length=64, help_text="A scikit-learn scorer.")
    features = models.JSONField(default=list, help_text="The schema, one entry a feature.")
    reading = models.JSONField(
        default=dict,
        db_default={},
        blank=True,
        help_text=(
            "How the file of the base data is written, and its target. Empty: as pandas tells, "
            "until `manage.py apply --reread`."
        ),
    )
    profile = models.JSONField(
        default=dict, db_default={}, blank=True,
        help_text="What was understood of the base data's columns when the model was applied.",
    )  # fmt: skip
    retrain = models.JSONField(default=dict, blank=True)
    promotion = models.JSONField(default=dict, blank=True)
    feedback = models.JSONField(default=dict, blank=True)
    is_default = models.BooleanField(default=False, help_text="Answers /predict and /feedback.")
    retired_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    champion = models.ForeignKey(
        "ModelVersion", null=True, blank=True, editable=False,
        on_delete=models.PROTECT, related_name="+",
    )  # fmt: skip
    generation = models.PositiveIntegerField(default=0, editable=False)
    golden_digest = models.CharField(
        max_length=64,
        blank=True,
        editable=False,
        help_text="Rows fixed at the first training that no version ever trains on.",
    )

    class Meta:
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(
                fields=("is_default",),
                condition=models.Q(is_default=True),
                name="one_default_model",
            ),
        )
        permissions = (
            ("predict_registeredmodel", "Can ask private models for predictions"),
            ("promote_registeredmodel", "Can promote and roll back versions"),
            ("override_gate", "Can promote a version that the gate turned away"),
            ("reload_registeredmodel", "Can have every web process reload"),
            ("forget_subject", "Can export and forget what is known of a person"),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def schema(self) -> Schema:
        """The declared schema; a version keeps the one that it was trained with."""
        return _schema_of(self)

    @property
    def labels(self) -> dict[str, str]:
        """What people call its features, by their names, where that is another word."""
        return {one.name: one.label for one in self.schema.features if one.label}

    @property
    def target_reading(self) -> Reading:
        """How the file of the base data writes the target."""
        return Reading.from_json(self.reading["target"]["reading"]) if self.reading else USUAL

    @property
    def warnings(self) -> dict[str, list[str]]:
        """What is odd about columns of the base data, by their names."""
        columns = self.profile.get("columns", ())
        return {one["name"]: list(one["warnings"]) for one in columns if one["warnings"]}

    @property
    def recipe(self) -> str:
        """Digest of what training depends on; a version with another one is out of date.

        What people call a feature is no part of it.
        """
        features = [
            {key: value for key, value in one.items() if key != "label"} for one in self.features
        ]
        made_of = [self.task, self.target, self.data, self.estimator, self.metric, features]
        if self.reading:
            made_of.append(self.reading)
        return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


class TrainingSnapshot(models.Model):
    """The frozen, content-addressed rows that a version learnt from."""

    registered_model = models.ForeignKey(
        RegisteredModel, on_delete=models.PROTECT, related_name="snapshots"
    )
    digest = models.CharField(max_length=64, help_text="SHA-256 of the canonical rows.")
    rows = models.PositiveIntegerField()
    feedback_rows = models.PositiveIntegerField()
    sources = models.JSONField(
        null=True, blank=True, help_text="How many rows each source of feedback gave."
    )
    redacted_at = models.DateTimeField(null=True, help_text="Rows of forgotten people are gone.")
    bounds = models.JSONField(
        null=True, help_text="How far from the base data feedback may lie; see learning.bounds."
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("-pk",)
        constraints = (
            models.UniqueConstraint(
                fields=("registered_model", "digest"), name="one_snapshot_a_digest"
            ),
        )

    def __str__(self) -> str:
        return f"{self.registered_model} snapshot {self.digest[:12]}"


class ModelVersion(models.Model):
    """One trained version; `number` is MLflow's."""

    class Status(models.TextChoices):
        CANDIDATE = "candidate"
        CHAMPION = "champion"
        CHALLENGER = "challenger"
        RETIRED = "retired"
        REJECTED = "rejected"

    registered_model = models.ForeignKey(
        RegisteredModel, on_delete=models.PROTECT, related_name="versions"
    )
    number = models.PositiveIntegerField()
    status = models.CharField(max_length=16, choices=Status, default=Status.CANDIDATE)
    metrics = models.JSONField(default=dict)
    parameters = models.JSONField(default=dict)
    mlflow_run_id = models.CharField(max_length=64, blank=True)
    snapshot = models.ForeignKey(
        TrainingSnapshot, null=True, blank=True, on_delete=models.PROTECT, related_name="versions"
    )
    code_revision = models.CharField(max_length=64, blank=True)
    recipe = models.CharField(max_length=64, help_text="The model's recipe when it was trained.")
    features = models.JSONField(default=list)
    classes = models.JSONField(default=list)
    warnings = models.JSONField(
        default=dict,
        db_default={},
        blank=True,
        help_text="What was odd about the columns of the base data when it was trained.",
    )
    runtime = models.CharField(max_length=16, blank=True)
    bundle_digest = models.CharField(max_length=64, blank=True)
    unservable_because = models.CharField(max_length=500, blank=True)
    verify_again_at = models.DateTimeField(
        null=True, blank=True, help_text="When one that could not be verified is tried again."
    )
    verify_attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    missing_in_registry = models.BooleanField(db_default=False, help_text="MLflow has it no more.")
    gate = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("registered_model", "-number")
        constraints = (
            models.UniqueConstraint(
                fields=("registered_model", "number"), name="one_version_a_number"
            ),
        )
        permissions = (("sign_bundle", "Can sign bundles, and so have them trusted"),)

    def __str__(self) -> str:
        return f"{self.registered_model} v{self.number}"

    @property
    def schema(self) -> Schema:
        """The schema that it was trained with, with the categories of its rows."""
        return _schema_of(self)

    @property
    def servable(self) -> bool:
        """Whether a verified bundle exists that web processes can load."""
        return bool(self.bundle_digest) and not self.unservable_because


class Deployment(models.Model):
    """One line of the append-only ledger: what began to serve, by whom, and why."""

    class Action(models.TextChoices):
        PROMOTE = "promote"
        ROLLBACK = "rollback"
        EXTERNAL = "external"

    class Door(models.TextChoices):
        ADMIN = "admin"
        API = "api"
        CLI = "cli"
        POLICY = "policy"
        MLFLOW = "mlflow"

    registered_model = models.ForeignKey(
        RegisteredModel, on_delete=models.PROTECT, related_name="deployments"
    )
    generation = models.PositiveIntegerField()
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="deployments")
    previous = models.ForeignKey(
        ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    action = models.CharField(max_length=16, choices=Action)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    door = models.CharField(max_length=8, choices=Door)
    reason = models.CharField(max_length=1000)
    override = models.BooleanField(default=False)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("registered_model", "-generation")
        verbose_name = "ledger line"
        constraints = (
            models.UniqueConstraint(
                fields=("registered_model", "generation"), name="one_line_a_generation"
            ),
            AppendOnly(name="ledger_only_grows"),
        )

    def __str__(self) -> str:
        return f"{self.registered_model} generation {self.generation}: {self.action}"


class Prediction(models.Model):
    """One answered instance, logged before the answer leaves."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    registered_model = models.ForeignKey(
        RegisteredModel, on_delete=models.PROTECT, related_name="predictions", db_index=False
    )
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    generation = models.PositiveIntegerField()
    at = models.DateTimeField(default=timezone.now)
    input = models.JSONField()
    value = models.JSONField()
    probabilities = models.JSONField(null=True)
    subject = models.CharField(max_length=255, blank=True)
    preview = models.BooleanField(default=False, db_default=False, help_text="Tried, not served.")
    client = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    # What it was about is gone; that it was asked stays.
    forgotten_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ("-id",)
        indexes = (
            models.Index(fields=("registered_model", "at")),
            models.Index(fields=("subject",), condition=~models.Q(subject=""), name="by_subject"),
        )

    def __str__(self) -> str:
        return str(self.id)


class RegistryAlias(models.Model):
    """What an MLflow alias should be (`number`) and what it was when last seen (`mirrored`).

    Both sides may move it: ours first when `number` differs from `mirrored` (so this row is
    the outbox too), theirs when only MLflow differs from `mirrored`.
    """

    registered_model = models.ForeignKey(
        RegisteredModel, on_delete=models.CASCADE, related_name="aliases"
    )
    alias = models.CharField(max_length=64)
    number = models.PositiveIntegerField()
    mirrored = models.PositiveIntegerField(null=True)
    held_for_review = models.PositiveIntegerField(null=True, help_text="Waits for a person.")
    held_because = models.CharField(max_length=500, blank=True, default="", db_default="")

    class Meta:
        verbose_name_plural = "registry aliases"
        constraints = (
            models.UniqueConstraint(fields=("registered_model", "alias"), name="one_row_an_alias"),
        )

    def __str__(self) -> str:
        return f"{self.registered_model}@{self.alias}"


class RegistrySync(models.Model):
    """One row in which web processes ask the worker to reconcile with MLflow, and it answers."""

    requested_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    pulse_at = models.DateTimeField(null=True, help_text="When the queue last carried one out.")
    error = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return f"synced at {self.finished_at}"


class WebProcess(models.Model):
    """A live web process and what it has loaded, as it last said itself."""

    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    generations = models.JSONField(default=dict, help_text="Model name to {generation, loaded_at}.")
    seen_at = models.DateTimeField(default=timezone.now)
    forwarded_at = models.DateTimeField(
        null=True, help_text="When X-Forwarded-For last came while no proxy is trusted."
    )

    class Meta:
        verbose_name_plural = "web processes"
        constraints = (models.UniqueConstraint(fields=("host", "pid"), name="one_row_a_process"),)

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"
