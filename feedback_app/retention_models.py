"""How far the deletion of old rows is, kind by kind."""

from __future__ import annotations

from django.db import models


class RetentionState(models.Model):
    """What is deleted of one kind of row or file, since when that was announced, and how much was.

    Automatic deletion begins a day after it was announced, or once an operator saw a dry run.
    """

    kind = models.CharField(max_length=32, unique=True)
    keeps = models.CharField(max_length=32, blank=True, help_text="For how long; or off.")
    due = models.PositiveBigIntegerField(default=0, help_text="Too old, at the last look.")
    announced_at = models.DateTimeField(null=True, help_text="Deletion begins a day after that.")
    confirmed = models.BooleanField(default=False, help_text="An operator saw a dry run.")
    looked_at = models.DateTimeField(null=True)
    leased_until = models.DateTimeField(null=True, help_text="Somebody deletes until then.")
    deleted = models.PositiveBigIntegerField(default=0, help_text="In total.")
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("kind",)

    def __str__(self) -> str:
        return f"retention of {self.kind}"
