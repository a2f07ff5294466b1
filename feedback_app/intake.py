"""Take feedback in: who may say it, whether it makes sense, what becomes of it, stored.

One word or ten thousand go the same way, and each is stored whatever the others are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.utils import timezone

from feedback_app import costs, screening, sources
from feedback_app.durability import flushed
from feedback_app.links import Link
from feedback_app.models import Feedback
from models_app import quotas, storing
from models_app.learning.kinds import LARGEST, category_text
from models_app.learning.labels import Spellings
from models_app.learning.schema import MAX_PROBLEMS, Problem, Schema
from models_app.models import Prediction, RegisteredModel
from models_app.quotas import Consumer
from models_app.refusals import Conflict, Gone, InvalidInput, NotFound, Refused, TooMuch

# One word stored, or why it was not.
Outcome = Feedback | Refused | PermissionDenied

MAX_WORDS = 10_000
LONGEST_CLASS = 255
CLASS_LENGTHS = range(1, LONGEST_CLASS + 1)
STORED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Word:
    """What somebody says the right answer is: to a prediction, or to features of their own."""

    value: object
    prediction: UUID | None = None
    model: str = ""
    features: Mapping[str, Any] | None = None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who says it: a user, the holder of a link, or a passer-by known by address only.

    link_source: what a word by the link counts by.
    """

    user: User | None
    address: str = ""
    link: Link | None = None
    link_source: str = ""

    @classmethod
    def by(cls, link: Link) -> Speaker:
        """The holder of a link."""
        return cls(None, link=link, link_source=link.source)

    @property
    def source(self) -> str:
        """What feedback counts by: one standing word each on a prediction."""
        if self.link:
            return self.link_source
        if self.user:
            return sources.of_account(self.user.username)
        return sources.of_address(self.address)

    @property
    def client(self) -> str:
        """Whose requests are told apart: an address, not a network, which may be many people's."""
        return self.source if self.user else f"{sources.NETWORK}{self.address}"

    @property
    def anonymous(self) -> bool:
        """Whether no account stands for it, be it that of the one who made a link."""
        return self.user is None and self.link is None

    @property
    def consumer(self) -> Consumer | None:
        """Whose quota it uses. A link's word was counted when the link was made."""
        if self.link:
            return None
        return Consumer.account_of(self.user) if self.user else Consumer.at(self.address)

    @property
    def trusted(self) -> bool:
        """Whether nobody needs to look at what they say: they could accept it themselves."""
        return self.may("feedback_app.review_feedback")

    def may(self, permission: str) -> bool:
        return self.user is not None and self.user.has_perm(permission)


@dataclass(frozen=True, slots=True)
class Known:
    """The predictions and models that some words are about, as far as they are the speaker's."""

    predictions: Mapping[UUID, Prediction]
    models: Mapping[str, RegisteredModel]

    @classmethod
    def to(cls, words: Sequence[Word], speaker: Speaker) -> Known:
        """Looked up in two queries, however many words there are.

        A prediction of somebody else is not even found, so that it takes as long as none.
        """
        predictions = Prediction.objects.filter(
            _within_reach(speaker),
            pk__in={word.prediction for word in words if word.prediction},
            registered_model__retired_at=None,
        ).select_related("registered_model__champion")
        models = RegisteredModel.objects.filter(
            name__in={word.model for word in words}, retired_at=None
        ).select_related("champion")
        return cls(
            {found.pk: found for found in predictions}, {found.name: found for found in models}
        )


def record(word: Word, *, speaker: Speaker) -> Feedback:
    """Store one word of feedback. Raises NotFound, PermissionDenied or InvalidInput."""
    (outcome,) = record_many([word], speaker=speaker)
    if not isinstance(outcome, Feedback):
        raise outcome
    return outcome


def record_many(
    words: Sequence[Word], *, speaker: Speaker, most_problems: int = MAX_PROBLEMS
) -> list[Outcome]:
    """Store the words that can be, and say of each, in order, what became of it.

    A second word of one source about a prediction supersedes the first. What is returned is
    on the disk. Raises TooMuch for more than 10,000, QuotaExceeded for more than the speaker may
    give today, and Unavailable; then nothing is stored.

    most_problems: how many are named in all; of a refused word beyond, one.
    """
    if len(words) > MAX_WORDS:
        raise TooMuch(f"{len(words)} items were sent, {MAX_WORDS} are allowed at a time.")
    if speaker.user is None:
        storing.refuse_without_spare_room()
    known = Known.to(words, speaker)
    outcomes: list[Outcome] = []
    for word in words:
        outcome = _draft_or_refusal(word, known, speaker, max(1, most_problems))
        most_problems -= len(outcome.problems) if isinstance(outcome, InvalidInput) else 0
        outcomes.append(outcome)
    drafts = [outcome for outcome in outcomes if isinstance(outcome, Feedback)]
    with quotas.spending(speaker.consumer, costs.of_words(drafts)):
        screening.screen(drafts, trusted=speaker.trusted, anonymous=speaker.anonymous)
        _store(drafts, speaker)
    return outcomes


def _draft_or_refusal(word: Word, known: Known, speaker: Speaker, most_problems: int) -> Outcome:
    try:
        return _draft(word, known, speaker, most_problems)
    except (Refused, PermissionDenied) as refusal:
        return refusal


def _draft(word: Word, known: Known, speaker: Speaker, most_problems: int) -> Feedback:
    if (word.prediction is None) == (word.features is None):
        detail = "Give the id of a prediction, or a model with features: one of the two."
        raise _invalid("prediction", "required", detail)
    if word.prediction is not None:
        prediction = _prediction(word.prediction, known, speaker)
        if prediction.preview:
            detail = "It tried a version out; feedback is for answers of what serves."
            raise _invalid("prediction", "preview", detail)
        model, features = prediction.registered_model, prediction.input
    else:
        prediction, model, features = None, _model(word.model, known, speaker), word.features
        if problems := list(model.schema.problems(features, "features", left=most_problems)):
            raise InvalidInput(problems)
        (features,) = schema_of(model).normalized([features or {}])
    return Feedback(
        registered_model=model,
        prediction=prediction,
        features=features,
        value=answer_as_stored(model, word.value),
        comment=word.comment,
        source=speaker.source,
        link=speaker.link.id if speaker.link else "",
        given_by=speaker.user,
    )


def schema_of(model: RegisteredModel) -> Schema:
    """The schema that knows how the data spells categories: the champion's, where it fits."""
    served = model.champion.schema if model.champion else model.schema
    return served if served.names == model.schema.names else model.schema


def _prediction(pk: UUID, known: Known, speaker: Speaker) -> Prediction:
    """The prediction, if it is the speaker's to judge; else it is as if there were none."""
    found = known.predictions.get(pk)
    if found is not None and speaker.link and speaker.link.prediction == pk:
        return found
    absent = "There is no such prediction."
    if found is None:
        raise NotFound(absent, attr="prediction")
    # Anybody may judge what a public model told them; more takes the permission.
    free = found.registered_model.public and _own(found, speaker)
    if not free and not speaker.may("feedback_app.add_feedback"):
        raise _not_allowed(speaker, absent, "prediction")
    if found.forgotten_at is not None:
        raise Gone("What that prediction was about has been forgotten.", attr="prediction")
    return found


def _within_reach(speaker: Speaker) -> Q:
    """The predictions that exist for a speaker: one's own, nobody's, a link's; all for readers."""
    if speaker.may("models_app.view_prediction"):
        return Q()
    own = Q(client=None)
    if speaker.user:
        own |= Q(client=speaker.user.pk)
    if speaker.link:
        own |= Q(pk=speaker.link.prediction)
    return own


def _own(prediction: Prediction, speaker: Speaker) -> bool:
    if prediction.client_id is None:
        return True
    return speaker.user is not None and prediction.client_id == speaker.user.pk


def _model(name: str, known: Known, speaker: Speaker) -> RegisteredModel:
    if not name:
        raise _invalid("model", "required", "Features need the model that they are for.")
    found = known.models.get(name)
    absent = f"There is no model {name[:63]!r}."
    if found is None:
        raise NotFound(absent, attr="model")
    if not found.public and not speaker.may("feedback_app.add_feedback"):
        raise _not_allowed(speaker, absent, "model")
    return found


def _not_allowed(speaker: Speaker, absent: str, attr: str) -> NotFound | PermissionDenied:
    """To a passer-by what is private does not exist."""
    if speaker.user is None:
        return NotFound(absent, attr=attr)
    return PermissionDenied("Giving this feedback needs the scope feedback.")


def answer_as_stored(model: RegisteredModel, value: object) -> str | float:
    """The answer as it is stored: a class as text, or a number. Raises InvalidInput."""
    if model.task == RegisteredModel.Task.REGRESSION:
        if type(value) not in (int, float):
            raise _invalid("value", "invalid_type", "A number is expected.")
        # What is beyond it no version can compute with, whoever says so.
        if -LARGEST <= value <= LARGEST:  # type: ignore[operator]
            return float(value)  # type: ignore[arg-type]
        raise _invalid("value", "not_finite", "A finite number between -1e30 and 1e30 is expected.")
    if isinstance(value, str | int) and len(category_text(value)) in CLASS_LENGTHS:
        return _spellings_of(tuple(model.champion.classes if model.champion else ())).of(value)
    raise _invalid(
        "value",
        "invalid_type",
        f"A class is expected: a string of 1 to {LONGEST_CLASS} characters, an integer or a "
        "boolean.",
    )


@lru_cache(maxsize=64)
def _spellings_of(classes: tuple[str, ...]) -> Spellings:
    return Spellings(classes)


def _invalid(attr: str, code: str, detail: str) -> InvalidInput:
    return InvalidInput([Problem(attr, code, detail)])


def hold_predictions(predictions: Iterable[UUID | None]) -> None:
    """Until the transaction ends, whoever speaks about these waits, and then sees what it wrote.

    Raises Gone when one of them has been forgotten, perhaps since it was looked up.
    """
    about = [prediction for prediction in predictions if prediction]
    held = Prediction.objects.select_for_update(no_key=True).filter(pk__in=about)
    found = dict(held.order_by("pk").values_list("pk", "forgotten_at"))
    for pk in about:
        if pk not in found:
            # Looked up a moment ago, and too old to be kept since.
            raise Gone(f"Prediction {pk} is no longer kept.", attr="prediction")
        if found[pk] is not None:
            raise Gone(f"What prediction {pk} was about has been forgotten.", attr="prediction")


def _store(drafts: Iterable[Feedback], speaker: Speaker) -> None:
    """Write the drafts, each superseding what the source had said before of its prediction."""
    with flushed():
        about = [draft.prediction_id for draft in drafts if draft.prediction_id]
        hold_predictions(about)
        if speaker.link and speaker.link.used:
            raise Conflict("A link is good for one word.", code="already_recorded")
        said = Feedback.objects.filter(prediction__in=about, source=speaker.source)
        earlier = list(said.exclude(status=Feedback.Status.SUPERSEDED))
        standing = {word.prediction_id: word for word in earlier}
        for draft in drafts:
            if draft.prediction_id is None:
                continue
            if before := standing.get(draft.prediction_id):
                before.status, before.superseded_by = Feedback.Status.SUPERSEDED, draft
                before.public_status = ""
            standing[draft.prediction_id] = draft
        for draft in drafts:
            if draft.status == Feedback.Status.ACCEPTED:
                draft.accepted_at = timezone.now()
        # First the old words give way: only one of a source may stand at any moment.
        superseded = [word for word in earlier if word.status == Feedback.Status.SUPERSEDED]
        Feedback.objects.bulk_update(superseded, ["status", "public_status", "superseded_by"])
        Feedback.objects.bulk_create(drafts, batch_size=STORED_AT_ONCE)
