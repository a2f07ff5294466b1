"""Pages for people: what models there are, and one to ask each; they need no JavaScript."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from models_app import following, quotas, reports, rounding, serving, typed_values
from models_app.bundles import Bundle
from models_app.following import Served
from models_app.forms import InstanceForm
from models_app.learning.schema import InvalidInstances
from models_app.models import Prediction, RegisteredModel
from models_app.quotas import Consumer
from models_app.refusals import NotFound, Refused, TooOften

ModelView = Callable[[HttpRequest, Served, Bundle], HttpResponse]
Page = Callable[[HttpRequest, str], HttpResponse]

# Beyond so many fields a page says how programs and files ask, and beyond more only that: making
# a field takes 0.15 ms.
MANY_FIELDS, MOST_FIELDS = 100, 2000
SHARES_SHOWN = 10
REASONS_SHOWN = 8
# Less than this would be shown as nothing.
LEAST_SHARE = 0.0005
SIGNED_FOR = "models_app.pages.answer"


@dataclass(frozen=True, slots=True)
class Share:
    """How likely one class is, as a bar: `percent` of its width."""

    label: str
    percent: float


@dataclass(frozen=True, slots=True)
class Reason:
    """What one feature's value did to the answer, as a bar to the right (for it) or the left."""

    feature: str
    moved: str
    start: float
    width: float

    @classmethod
    def all_of(
        cls, explanation: Mapping[str, float], *, shares: bool, labels: Mapping[str, str]
    ) -> tuple[Reason, ...]:
        """The strongest first; those that did nothing are left out."""
        ranked = sorted(explanation.items(), key=lambda pair: -abs(pair[1]))
        most = max((abs(moved) for _, moved in ranked), default=0.0)
        return tuple(
            cls(
                labels.get(feature, feature),
                reports.moved(moved, share=shares),
                50 + min(0.0, 50 * moved / most),
                abs(50 * moved / most),
            )
            for feature, moved in ranked[:REASONS_SHOWN]
            if moved and (not shares or abs(moved) >= LEAST_SHARE)
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """One prediction as a page shows it."""

    prediction: str
    value: str | float
    version: int
    shares: tuple[Share, ...] = ()
    unseen: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()

    @classmethod
    def of(
        cls,
        prediction: Mapping[str, Any],
        version: int,
        *,
        labels: Mapping[str, str] | None = None,
    ) -> Answer:
        """From what `serving.predict` gave for one instance. labels: see `InstanceForm`."""
        called = labels or {}
        unseen = (warning["attr"] for warning in prediction.get("warnings", ()))
        likely = sorted(prediction.get("probabilities", {}).items(), key=lambda pair: -pair[1])
        return cls(
            prediction=prediction["id"],
            value=prediction["value"],
            version=version,
            shares=tuple(Share(label, 100 * share) for label, share in likely),
            unseen=tuple(called.get(name, name) for name in unseen),
            reasons=Reason.all_of(
                prediction.get("explanation", {}),
                shares=isinstance(prediction["value"], str),
                labels=called,
            ),
        )

    @classmethod
    def logged(cls, prediction: Prediction, *, client: User | None) -> Answer:
        """As the log has it; rounded for a client who did not log in."""
        found = {
            "id": str(prediction.pk),
            "value": prediction.value,
            "probabilities": prediction.probabilities or {},
        }
        served = following.served().get(prediction.registered_model.name)
        spread = served.bundle.spread if served and served.bundle else 0.0
        (told,) = [found] if client else rounding.for_anonymous([found], spread=spread)
        return cls.of(told, prediction.version.number)

    @property
    def text(self) -> str:
        return reports.written(self.value)

    @property
    def shown(self) -> tuple[Share, ...]:
        return self.shares[:SHARES_SHOWN]

    @property
    def hidden(self) -> int:
        """How many unlikely classes have no bar."""
        return len(self.shares) - len(self.shown)

    @property
    def token(self) -> str:
        """Proof that this page gave the answer, so that its feedback form may show it again."""
        return signing.dumps(self.prediction, salt=SIGNED_FOR)


def model_page(permission: str) -> Callable[[ModelView], Page]:
    """Hand a view the model named in the address, for those who may ask it."""

    def decorate(view: ModelView) -> Page:
        @wraps(view)
        def page(request: HttpRequest, name: str) -> HttpResponse:
            try:
                served = serving.registered(name)
            except NotFound as refusal:
                # As for a private one: who may not ask learns not which names there are.
                if not request.user.has_perm(permission):
                    return _sign_in(request, name)
                raise Http404(refusal.detail) from None
            if not served.public and not request.user.has_perm(permission):
                return _sign_in(request, name)
            if request.method == "POST":
                quotas.admit(request.user, request.META)
            if served.bundle is None:
                return _not_ready(request, served)
            return view(request, served, served.bundle)

        return page

    return decorate


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    if request.user.is_staff:
        return redirect("admin:index")
    public = RegisteredModel.objects.filter(public=True, retired_at=None)
    return render(request, "models_app/home.html", {"models": public.select_related("champion")})


@require_http_methods(["GET", "HEAD", "POST"])
@model_page("models_app.predict_registeredmodel")
def ask(request: HttpRequest, served: Served, bundle: Bundle) -> HttpResponse:
    model = RegisteredModel.objects.get(pk=served.model_id)
    page = partial(show, request, model, served, bundle)
    if len(bundle.schema.features) > MOST_FIELDS:
        return page(None, status=400 if request.method == "POST" else 200)
    if request.method != "POST":
        return page(InstanceForm(bundle.schema, labels=model.labels))
    form = InstanceForm(bundle.schema, request.POST, labels=model.labels)
    status = 400
    if form.is_valid():
        try:
            answered = serving.predict(
                served.name,
                [form.instance],
                client=signed_in(request),
                explain=serving.most_explained(bundle) > 0,
                door="page",
                consumer=Consumer.of(request.user, request.META),
            )
        except TooOften:
            raise
        except InvalidInstances as invalid:
            form.show(invalid.problems)
        except Refused as refusal:
            form.add_error(None, refusal.detail)
            status = 503
        else:
            answer = Answer.of(answered.predictions[0], answered.version, labels=model.labels)
            return page(form, answer=answer)
    return page(form, status=status)


def show(
    request: HttpRequest,
    model: RegisteredModel,
    served: Served,
    bundle: Bundle,
    form: InstanceForm | None,
    *,
    status: int = 200,
    **more: object,
) -> HttpResponse:
    """The model's page; `more` may hold the answer and what became of feedback on it.

    form: None for a model that takes more values than a form should have.
    """
    takes = len(bundle.schema.features)
    context = {
        "model": model,
        "served": served,
        "bundle": bundle,
        "form": form,
        "takes": takes if takes > MANY_FIELDS else None,
        "answer_help": typed_values.help_of_number(model.target_reading),
        **more,
    }
    return render(request, "models_app/model.html", context, status=status)


def signed_in(request: HttpRequest) -> User | None:
    """Who asks, or None for a passer-by."""
    return request.user if request.user.is_authenticated else None


def _sign_in(request: HttpRequest, name: str) -> HttpResponse:
    if request.user.is_authenticated:
        raise PermissionDenied("Your account may not ask this model.")
    return redirect_to_login(reverse("model-page", args=[name]), reverse("admin:login"))


def _not_ready(request: HttpRequest, served: Served) -> HttpResponse:
    response = render(request, "models_app/not_ready.html", {"name": served.name}, status=503)
    response.headers["Retry-After"] = "5"
    return response
