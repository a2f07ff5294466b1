"""What comes back: feedback on predictions, and the retraining runs that learn from it."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce, NullIf
from django.utils import timezone

# Django looks for an app's models here.
from feedback_app.batch_models import BatchJob, BatchPart
from feedback_app.retention_models import RetentionState
from models_app.append_only import AppendOnly
from models_app.models import (
    ModelVersion,
    Prediction,
    RegisteredModel,
    TrainingSnapshot,
    new_id,
)

__all__ = (
    "BatchJob", "BatchPart", "Erasure", "Feedback", "FeedbackReview", "RememberedAnswer",
    "RetentionState", "RetrainingRun", "SourceLook",
)  # fmt: skip

# The reason of feedback whose content is gone.
FORGOTTEN = "forgotten"
# The same of feedback that counted no more and got too old.
EXPIRED = "expired"
# The runs that a workflow has, of those that are active.
AWAY = Q(handed_over_at__isnull=False, version__isnull=True)


# The reason of feedback that contradicts a golden row.
GOLDEN_ROW = "golden_row"
# The reasons of feedback that cannot train, since its model was declared anew.
FEATURES_CHANGED, TARGET_CHANGED = "features_changed", "target_changed"
# Why feedback waits, as far as the one who gave it may know.
PUBLIC_REASONS = ("new_class", "review_all", FEATURES_CHANGED, TARGET_CHANGED)


class FeedbackQuerySet(models.QuerySet["Feedback"]):
    """Feedback, as those who may review it see it, or as all others do."""

    def with_shown_status(self, *, reviewer: bool) -> Self:
        """Each row with `shown_status`, which `Feedback.status_for` tells of one row."""
        public = NullIf("public_status", Value(""))
        shown = F("status") if reviewer else Coalesce(public, "status")
        return self.annotate(shown_status=shown)


class Feedback(models.Model):
    """What somebody says the right answer was. Values change by superseding, never in place."""

    class Status(models.TextChoices):
        ACCEPTED = "accepted"
        PENDING = "pending"
        QUARANTINED = "quarantined"
        REJECTED = "rejected"
        SUPERSEDED = "superseded"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    registered_model = models.ForeignKey(
        RegisteredModel, on_delete=models.PROTECT, related_name="+"
    )
    prediction = models.ForeignKey(
        Prediction, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    features = models.JSONField(help_text="The instance that was judged.")
    value = models.JSONField(help_text="The right answer: a class as text, or a number.")
    status = models.CharField(max_length=16, choices=Status)
    reasons = models.JSONField(default=list, blank=True)
    reason_details = models.JSONField(
        null=True, blank=True, help_text="What a reason is about: names of features by reason."
    )
    public_status = models.CharField(
        max_length=16,
        blank=True,
        db_default="",
        choices=Status,
        help_text="What those see who may not review, where the status would tell a golden row.",
    )
    is_golden = models.BooleanField(
        db_default=False, help_text="It is about a golden row, so no version trains on it."
    )
    comment = models.CharField(max_length=2000, blank=True)
    source = models.CharField(
        max_length=255, help_text="An account, also for the links that it made, or a network."
    )
    link = models.CharField(
        max_length=64, blank=True, db_default="", help_text="The link that it came by, used by it."
    )
    given_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    superseded_by = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    snapshots = models.ManyToManyField(TrainingSnapshot, blank=True, related_name="+")
    at = models.DateTimeField(default=timezone.now)
    accepted_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when it may train: then, or when a person said so."
    )

    objects = FeedbackQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "feedback"
        indexes = (models.Index(fields=("registered_model", "status", "accepted_at")),)
        constraints = (
            models.CheckConstraint(
                condition=~Q(status="accepted") | Q(accepted_at__isnull=False),
                name="accepted_at_a_time",
            ),
            models.UniqueConstraint(
                fields=("prediction", "source"),
                condition=~Q(status="superseded") & Q(prediction__isnull=False),
                name="one_standing_word_a_source",
            ),
        )
        permissions = (("review_feedback", "Can accept or reject feedback"),)

    def __str__(self) -> str:
        return str(self.id)

    def status_for(self, *, reviewer: bool) -> str:
        """The status as those see it who may review feedback, or as all others do."""
        return self.status if reviewer else self.public_status or self.status

    def reasons_for(self, *, reviewer: bool) -> list[str]:
        """Why it waits or waited, as far as those who may review it, or all others, may know."""
        reasons: list[str] = self.reasons
        return reasons if reviewer else [one for one in reasons if one in PUBLIC_REASONS]


class FeedbackReview(models.Model):
    """What a person decided on a word of feedback, and why; kept, whatever is decided later."""

    class Decision(models.TextChoices):
        ACCEPT = "accept"
        REJECT = "reject"

    feedback = models.ForeignKey(Feedback, on_delete=models.PROTECT, related_name="reviews")
    stands = models.ForeignKey(
        Feedback,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="The word that stood then: another one when its value was corrected.",
    )
    decision = models.CharField(max_length=8, choices=Decision)
    previous_status = models.CharField(max_length=16, choices=Feedback.Status)
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    reason = models.CharField(max_length=1000)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("-pk",)
        constraints = (AppendOnly(name="reviews_only_grow", erasable="reason"),)

    def __str__(self) -> str:
        return f"{self.decision} of {self.feedback_id}"


class RememberedAnswer(models.Model):
    """What a request with an Idempotency-Key was answered, for when it is sent again."""

    client = models.CharField(max_length=255, help_text="A key, a user or an address.")
    route = models.CharField(max_length=64)
    key = models.CharField(max_length=255)
    digest = models.CharField(max_length=64, help_text="SHA-256 of the body it came with.")
    body = models.TextField(help_text="What was answered, as JSON.")
    # When the word is forgotten, so is what was said of it.
    feedback = models.ForeignKey(Feedback, null=True, on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("client", "route", "key"), name="one_answer_a_client_route_and_key"
            ),
        )

    def __str__(self) -> str:
        return f"{self.client} to {self.route}"


class Erasure(models.Model):
    """That somebody was forgotten, and how far that is; of whom, only a keyed hash says."""

    subject_hash = models.CharField(max_length=64, db_index=True, help_text="HMAC-SHA-256.")
    client = models.CharField(max_length=150, blank=True, help_text="Whose alone were meant.")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    predictions = models.PositiveIntegerField()
    feedback = models.PositiveIntegerField()
    # Until it is done: digest and value of the rows that stand in files, by the model's id.
    pending = models.JSONField(default=dict)
    at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"erasure {self.pk}"


class RetrainingRun(models.Model):
    """One retraining, from request to verdict. The rows are the queue; django-q2 wakes it.

    It may be trained elsewhere: frozen here, handed over to a workflow that reports how far it
    is, and taken back for judgement with the version that the workflow registered in MLflow.
    """

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        REJECTED = "rejected"
        HELD = "held"
        FAILED = "failed"
        CANCELLED = "cancelled"

    class Trigger(models.TextChoices):
        MANUAL = "manual"
        SCHEDULE = "schedule"
        FEEDBACK = "feedback"
        NEW_ROWS = "new_rows"
        EXTERNAL = "external"

    ACTIVE = (Status.QUEUED, Status.RUNNING)

    registered_model = models.ForeignKey(
        RegisteredModel, on_delete=models.PROTECT, related_name="+"
    )
    status = models.CharField(max_length=16, choices=Status, default=Status.QUEUED)
    trigger = models.CharField(max_length=16, choices=Trigger)
    reason = models.CharField(max_length=1000, blank=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    data = models.CharField(max_length=1000, blank=True, help_text="Instead of the declared data.")
    promote = models.BooleanField(default=False, help_text="Promote when the gate says PROMOTE.")
    attempts = models.PositiveIntegerField(default=0, help_text="Doubles as the fencing token.")
    waits = models.PositiveIntegerField(
        default=0,
        db_default=0,
        help_text="How many attempts ended because GitHub did not answer; they count as none.",
    )
    leased_until = models.DateTimeField(null=True, blank=True)
    not_before = models.DateTimeField(default=timezone.now)
    handed_over_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when a workflow elsewhere trains it."
    )
    reporter = models.CharField(
        max_length=200,
        blank=True,
        db_default="",
        help_text="Who trains it elsewhere, as it calls itself.",
    )
    step = models.CharField(max_length=64, blank=True)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    snapshot = models.ForeignKey(
        TrainingSnapshot, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    feedback_until = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Feedback accepted later is left out, because training with it failed.",
    )
    left_out = models.JSONField(
        null=True, blank=True, help_text="Which sources that feedback came from, and the failure."
    )
    source = models.JSONField(
        null=True, blank=True, help_text="The data source at the snapshot, as a SourceState."
    )
    version = models.ForeignKey(
        ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    verdict = models.CharField(max_length=8, blank=True)
    mlflow_run_id = models.CharField(max_length=64, blank=True)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-pk",)
        constraints = (
            models.UniqueConstraint(
                fields=("registered_model",),
                condition=Q(status__in=("queued", "running")),
                name="one_active_run_a_model",
            ),
        )

    def __str__(self) -> str:
        return f"run {self.pk} of {self.registered_model}"

    @property
    def active(self) -> bool:
        """Whether this run is still queued or running."""
        return self.status in self.ACTIVE

    @property
    def away(self) -> bool:
        """Whether a workflow has it, so that no worker may touch it."""
        return self.active and self.handed_over_at is not None and self.version_id is None

    def claim(self, *, lease: timedelta) -> bool:
        """Take this run for the calling worker; False while another holds the lease."""
        # The queue delivers at least once, so only a conditional UPDATE makes two workers
        # train once; counted before work begins, since a killed worker cannot report.
        now = timezone.now()
        free = Q(status=self.Status.QUEUED, not_before__lte=now) | Q(
            status=self.Status.RUNNING, leased_until__lt=now
        )
        taken = RetrainingRun.objects.filter(free, ~AWAY, pk=self.pk).update(
            status=self.Status.RUNNING,
            started_at=Coalesce("started_at", now),
            leased_until=now + lease,
            attempts=F("attempts") + 1,
        )
        return taken == 1


class SourceLook(models.Model):
    """What the last look at a model's data source found."""

    registered_model = models.OneToOneField(
        RegisteredModel, on_delete=models.CASCADE, related_name="+"
    )
    waiting_since = models.DateTimeField(
        null=True, help_text="When it was seen that a slot of the schedule waits for a look."
    )
    begun_at = models.DateTimeField(null=True, help_text="Since when somebody looks.")
    at = models.DateTimeField(null=True)
    found = models.JSONField(null=True, help_text="A SourceState, or null when nothing answered.")
    error = models.CharField(max_length=500, blank=True)
    passed_over_at = models.DateTimeField(
        null=True, help_text="Up to when slots of the schedule found nothing new."
    )

    def __str__(self) -> str:
        return f"look at the data of {self.registered_model}"
