"""Links that let somebody without an account say, once, whether a prediction was right.

A link is its own proof: what it is good for, until when, and who made it is in it and signed, with
a key that signs nothing else. So none has to be stored, and a changed one tells nothing.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from feedback_app import costs, sources
from feedback_app.models import Feedback
from models_app import quotas
from models_app.learning.schema import Problem
from models_app.models import Prediction
from models_app.quotas import Consumer
from models_app.refusals import Conflict, Gone, InvalidInput, NotFound

WEEK = timedelta(days=7)
SHORTEST, LONGEST = timedelta(seconds=1), timedelta(days=365)
# The signer makes its key from this and the secret key; a dot needs no escape in an address.
SIGNER = signing.Signer(salt="feedback_app.links", sep=".")


class BadLink(Exception):
    """A text that is no link of ours, or no longer."""


@dataclass(frozen=True, slots=True)
class Link:
    """Lets its holder say one word about one prediction.

    id: the maker's user id, a colon and a random text; without a maker in older links. In one
    text, so that the release before reads it too.
    """

    prediction: UUID
    id: str
    expires_at: datetime

    @classmethod
    def of(cls, text: str) -> Link:
        """The link that was signed as `text`, expired or not. Raises BadLink."""
        try:
            prediction, link_id, expires = SIGNER.unsign_object(text)
        except signing.BadSignature:
            raise BadLink from None
        return cls(UUID(prediction), link_id, datetime.fromtimestamp(expires, UTC))

    def __str__(self) -> str:
        expires = int(self.expires_at.timestamp())
        return SIGNER.sign_object([self.prediction.hex, self.id, expires])

    @property
    def url(self) -> str:
        """Where people open it."""
        return f"{settings.EVERLEARN_PUBLIC_URL}{reverse('linked-feedback', args=[str(self)])}"

    @property
    def source(self) -> str:
        """What its word counts by: its maker, so that many links are one source.

        A link that does not name its maker counts to the client of the prediction.
        """
        maker, colon, _ = self.id.rpartition(":")
        if colon:
            users = User.objects.filter(pk=int(maker))
        else:
            asked = Prediction.objects.filter(pk=self.prediction)
            users = User.objects.filter(pk__in=asked.values("client_id"))
        username = users.values_list("username", flat=True).first()
        return sources.of_account(username) if username else sources.of_link(self.id)

    @property
    def used(self) -> bool:
        """Whether its word was said."""
        before = Q(link=self.id) | Q(source=sources.of_link(self.id))
        return Feedback.objects.filter(before, prediction=self.prediction).exists()

    @property
    def expired(self) -> bool:
        """Whether its time is over."""
        return timezone.now() >= self.expires_at


def make_link(prediction_id: UUID, *, actor: User, expires_in: timedelta = WEEK) -> Link:
    """A link to the form for a prediction: the actor's own, or anybody's for readers.

    Raises PermissionDenied, NotFound, Gone, InvalidInput, QuotaExceeded, and Conflict for a
    version's preview.
    """
    if not actor.has_perm("feedback_app.add_feedback"):
        raise PermissionDenied("A feedback link needs add_feedback.")
    if not SHORTEST <= expires_in <= LONGEST:
        detail = f"From 1s to {LONGEST.days}d are possible."
        raise InvalidInput([Problem("expires_in", "out_of_range", detail)])
    anybodys = actor.has_perm("models_app.view_prediction")
    seen = Prediction.objects.filter(Q() if anybodys else Q(client_id=actor.pk))
    prediction = seen.filter(pk=prediction_id, registered_model__retired_at=None).first()
    if prediction is None:
        raise NotFound(f"There is no prediction {prediction_id}.")
    if prediction.forgotten_at is not None:
        raise Gone(f"What prediction {prediction_id} was about has been forgotten.")
    if prediction.preview:
        detail = "It tried a version out; feedback is for answers of what serves."
        raise Conflict(detail, code="preview")
    expires_at = (timezone.now() + expires_in).replace(microsecond=0)
    # A link is good for one word, which counts for the one who hands the link out.
    quotas.take(Consumer.account_of(actor), costs.of_link(prediction))
    # A second is the least it can be good for, whatever was cut off.
    link_id = f"{actor.pk}:{secrets.token_urlsafe(9)}"
    return Link(prediction.pk, link_id, expires_at + SHORTEST)
