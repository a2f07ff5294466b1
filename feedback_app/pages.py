"""The small form under an answer: was this right?"""

from __future__ import annotations

from uuid import UUID

from django import forms
from django.core import signing
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_POST

from feedback_app import fitting, intake
from feedback_app.models import Feedback
from models_app import pages, typed_values
from models_app.bundles import Bundle
from models_app.following import Served
from models_app.forms import InstanceForm
from models_app.learning.schema import Problem
from models_app.models import Prediction
from models_app.refusals import InvalidInput, NotFound, Refused, TooOften
from models_app.strangers import address_of

LEARNT = "Thank you. The next training learns from it."
LOOKED_AT = "Thank you. A person looks at it before the model learns from it."
TOO_LATE = "Thank you. The model has changed since that answer, so it cannot learn from this."


class WordForm(forms.Form):
    """Either "yes, it was right", or what the right answer is."""

    right = forms.BooleanField(required=False)
    value = forms.CharField(required=False, strip=False, max_length=intake.LONGEST_CLASS)
    comment = forms.CharField(required=False, max_length=2000)

    def word(self, prediction: Prediction) -> intake.Word:
        """What was said about it. Raises InvalidInput."""
        comment = self.cleaned_data["comment"]
        return intake.Word(value=self.said(prediction), prediction=prediction.pk, comment=comment)

    def said(self, prediction: Prediction) -> str | float:
        """The right answer; a number where the model answers with numbers. Raises InvalidInput."""
        if self.cleaned_data["right"]:
            answered: str | float = prediction.value
            return answered
        value: str = self.cleaned_data["value"]
        if isinstance(prediction.value, str):
            return value
        try:
            return typed_values.number(value, prediction.registered_model.target_reading)
        except ValueError as error:
            raise InvalidInput([Problem("value", "invalid_type", str(error))]) from error


def thanks_for(feedback: Feedback, speaker: intake.Speaker) -> str:
    """What becomes of a word, as far as its speaker may know."""
    status = feedback.status_for(reviewer=speaker.trusted)
    if not set(feedback.reasons).isdisjoint(fitting.CHANGED):
        return TOO_LATE
    return LEARNT if status == Feedback.Status.ACCEPTED else LOOKED_AT


@require_POST
@pages.model_page("feedback_app.add_feedback")
def give_feedback(request: HttpRequest, served: Served, bundle: Bundle) -> HttpResponse:
    prediction = _shown(request, served)
    form = WordForm(request.POST)
    if form.is_valid():
        user = pages.signed_in(request)
        speaker = intake.Speaker(user=user, address=address_of(request.META))
        try:
            feedback = intake.record(form.word(prediction), speaker=speaker)
        except TooOften:
            raise
        except NotFound as refusal:
            raise Http404(refusal.detail) from None
        except Refused as refusal:
            form.add_error("value", refusal.detail)
        else:
            return _show(request, served, bundle, prediction, thanks=thanks_for(feedback, speaker))
    return _show(request, served, bundle, prediction, word_form=form)


def _shown(request: HttpRequest, served: Served) -> Prediction:
    """The prediction that our own page showed to the one who sends this."""
    try:
        shown = signing.loads(request.POST.get("answer", ""), salt=pages.SIGNED_FOR)
    except signing.BadSignature:
        raise Http404("This form did not come from an answer of ours.") from None
    predictions = Prediction.objects.select_related("version", "registered_model")
    return get_object_or_404(predictions, pk=UUID(shown), registered_model_id=served.model_id)


def _show(
    request: HttpRequest,
    served: Served,
    bundle: Bundle,
    prediction: Prediction,
    *,
    thanks: str = "",
    word_form: WordForm | None = None,
) -> HttpResponse:
    """The same page again, as it was when it gave the answer."""
    model = prediction.registered_model
    return pages.show(
        request,
        model,
        served,
        bundle,
        InstanceForm.showing(bundle.schema, prediction.input, labels=model.labels),
        answer=pages.Answer.logged(prediction, client=pages.signed_in(request)),
        thanks=thanks,
        word_form=word_form,
        status=400 if word_form else 200,
    )
