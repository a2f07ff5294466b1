"""The page behind a feedback link: a prediction, "was this right?", no account, in any frame."""

from __future__ import annotations

from csp.decorators import csp_replace
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import cache_control
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from feedback_app import intake
from feedback_app.links import BadLink, Link
from feedback_app.pages import WordForm, thanks_for
from models_app import pages, reports, typed_values
from models_app.models import Prediction
from models_app.refusals import Conflict, Gone, NotFound, Refused, TooOften, Unavailable
from models_app.strangers import address_of
from models_app.strikes import Kind, count_failure

ALTERED = "altered"
EXPIRED = "expired"
USED = "used"
GONE = "gone"


# The link is what proves that somebody may write, and it is sent with the form; no cookie is
# looked at, so another site that shows this page cannot make anybody do more than the link says.
@csrf_exempt
@xframe_options_exempt
@csp_replace({"frame-ancestors": "*"})  # type: ignore[arg-type]  # views take more than it says
@cache_control(no_store=True)
@require_http_methods(["GET", "HEAD", "POST"])
def linked_feedback(request: HttpRequest, link: str) -> HttpResponse:
    response = _answer(request, link)
    # The address is the credential: no other site may learn it from a click.
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _answer(request: HttpRequest, text: str) -> HttpResponse:
    try:
        link = Link.of(text)
    except BadLink:
        # Only those who guess wrong wait: whoever has a link that is right may use it.
        count_failure(Kind.LINK, address_of(request.META))
        return _over(request, ALTERED, 404)
    if link.expired:
        return _over(request, EXPIRED, 410, link=link)
    known = Prediction.objects.select_related("registered_model__champion", "version")
    prediction = known.filter(pk=link.prediction, registered_model__retired_at=None).first()
    if prediction is None or prediction.forgotten_at is not None:
        return _over(request, GONE, 410)
    if link.used:
        return _over(request, USED, 410)
    if request.method != "POST":
        return _show(request, prediction)
    return _take(request, link, prediction)


def _take(request: HttpRequest, link: Link, prediction: Prediction) -> HttpResponse:
    form = WordForm(request.POST)
    if not form.is_valid():
        return _show(request, prediction, word_form=form)
    speaker = intake.Speaker.by(link)
    try:
        feedback = intake.record(form.word(prediction), speaker=speaker)
    except (NotFound, Gone):
        return _over(request, GONE, 410)
    except Conflict:
        return _over(request, USED, 410)
    except (Unavailable, TooOften):
        raise
    except Refused as refusal:
        form.add_error("value", refusal.detail)
        return _show(request, prediction, word_form=form)
    return _show(request, prediction, thanks=thanks_for(feedback, speaker))


def _show(
    request: HttpRequest,
    prediction: Prediction,
    *,
    word_form: WordForm | None = None,
    thanks: str = "",
) -> HttpResponse:
    model = prediction.registered_model
    champion = model.champion.classes if model.champion else []
    context = {
        "model": model,
        "prediction": prediction,
        "answer": pages.Answer.logged(prediction, client=None),
        "asked": [
            (
                model.labels.get(name, name),
                reports.written(value) if isinstance(value, float) else value,
            )
            for name, value in prediction.input.items()
        ],
        # What it could not have answered yet, too: the right answer may be a newer class.
        "classes": sorted({*prediction.version.classes, *champion}),
        "answer_help": typed_values.help_of_number(model.target_reading),
        "word_form": word_form,
        "thanks": thanks,
    }
    status = 400 if word_form else 200
    return render(request, "feedback_app/link.html", context, status=status)


def _over(request: HttpRequest, why: str, status: int, *, link: Link | None = None) -> HttpResponse:
    context = {"why": why, "link": link}
    return render(request, "feedback_app/link_over.html", context, status=status)
