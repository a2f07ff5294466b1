"""Files of rows to predict, and the parts in which they are answered."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from models_app.models import ModelVersion, RegisteredModel, new_id


class BatchJob(models.Model):
    """A file of rows to predict. The rows of this table are the queue; django-q2 wakes it.

    The version is the one that served when the job was asked for, so that one file has one
    answer's columns and classes throughout.
    """

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"

    ACTIVE = (Status.QUEUED, Status.RUNNING)

    class Format(models.TextChoices):
        CSV = "csv"
        NDJSON = "ndjson"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    registered_model = models.ForeignKey(
        RegisteredModel, on_delete=models.PROTECT, related_name="+"
    )
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    generation = models.PositiveIntegerField()
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    format = models.CharField(max_length=8, choices=Format)
    input = models.CharField(max_length=255, help_text="Where the rows are stored.")
    separator = models.CharField(
        max_length=1, default=",", db_default=",", help_text="Of the cells of a CSV file."
    )
    columns = models.JSONField(
        default=list,
        db_default=[],
        blank=True,
        help_text="The names of a CSV file's columns, which are copied into its result.",
    )
    status = models.CharField(max_length=16, choices=Status, default=Status.QUEUED)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0, help_text="0 until they were counted.")
    token = models.PositiveIntegerField(default=0, help_text="Fences off whoever lost the lease.")
    attempts = models.PositiveIntegerField(default=0, help_text="Since rows were last done.")
    leased_until = models.DateTimeField(null=True, blank=True)
    turn_at = models.DateTimeField(default=timezone.now, help_text="Whose is earliest goes on.")
    error = models.CharField(max_length=1000, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        indexes = (models.Index(fields=("status", "turn_at")),)

    def __str__(self) -> str:
        return f"batch {self.id} of {self.registered_model}"


class BatchPart(models.Model):
    """Some rows' answers, in a file that was stored with their predictions or not at all."""

    job = models.ForeignKey(BatchJob, on_delete=models.CASCADE, related_name="parts")
    first = models.PositiveIntegerField(help_text="Number of its first row.")
    file = models.CharField(max_length=255)

    class Meta:
        ordering = ("job", "first")
        constraints = (models.UniqueConstraint(fields=("job", "first"), name="one_part_a_place"),)

    def __str__(self) -> str:
        return self.file
