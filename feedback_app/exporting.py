"""All that is known of a person, as JSON, for the person."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from feedback_app.erasing import predictions_of, refuse_unless_allowed
from feedback_app.models import GOLDEN_ROW, Feedback
from models_app.models import Prediction
from models_app.refusals import NotFound

READ_AT_ONCE = 500


def export(subject: str, *, actor: User, client: str = "") -> Iterator[str]:
    """The text of the export, piece by piece. Raises PermissionDenied and NotFound."""
    refuse_unless_allowed(actor)
    found = predictions_of(subject, client).select_related("registered_model", "version", "client")
    if not found.exists():
        raise NotFound(f"Nothing is known of {subject!r}.")
    return _pieces(subject, client, list(found.order_by("pk").values_list("pk", flat=True)))


def _pieces(subject: str, client: str, ids: list[Any]) -> Iterator[str]:
    head = {"subject": subject, "client": client or None, "exported_at": timezone.now()}
    yield _written(head)[:-1] + ', "predictions": ['
    for start in range(0, len(ids), READ_AT_ONCE):
        rows = _rows(ids[start : start + READ_AT_ONCE])
        yield (",\n" if start else "\n") + ",\n".join(map(_written, rows))
    yield "\n]}\n"


def _rows(ids: list[Any]) -> list[dict[str, Any]]:
    words: dict[Any, list[Feedback]] = {pk: [] for pk in ids}
    about = Feedback.objects.filter(prediction__in=ids).order_by("pk")
    for word in about.prefetch_related("snapshots"):
        words[word.prediction_id].append(word)
    found = Prediction.objects.filter(pk__in=ids).order_by("pk")
    return [
        _row(prediction, words[prediction.pk])
        for prediction in found.select_related("registered_model", "version", "client")
    ]


def _row(prediction: Prediction, words: list[Feedback]) -> dict[str, Any]:
    return {
        "id": prediction.pk,
        "model": prediction.registered_model.name,
        "version": prediction.version.number,
        "generation": prediction.generation,
        "at": prediction.at,
        "client": prediction.client.username if prediction.client else None,
        "preview": prediction.preview,
        "input": prediction.input,
        "value": prediction.value,
        "probabilities": prediction.probabilities,
        "feedback": [
            {
                "id": word.pk,
                "at": word.at,
                "value": word.value,
                "comment": word.comment,
                # As the person would see it: which rows are golden is not about the person.
                "status": word.status_for(reviewer=False),
                "reasons": [reason for reason in word.reasons if reason != GOLDEN_ROW],
                "source": word.source,
                "snapshots": [snapshot.digest for snapshot in word.snapshots.all()],
            }
            for word in words
        ],
    }


def _written(value: object) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)


def write(pieces: Iterator[str], target: Path) -> None:
    """Write an export that is there whole or not at all, for its owner alone to read."""
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        descriptor = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
