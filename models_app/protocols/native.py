"""The native dialect: `{"instances": [{…}, …]}` in, one prediction for each out."""

from __future__ import annotations

from itertools import islice
from typing import Any

import orjson
from django.contrib.auth.models import User
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from models_app import serving
from models_app.learning.schema import MAX_PROBLEMS, Problem
from models_app.learning.spelling import MAX_HINTS, unknown_name
from models_app.quotas import Consumer
from models_app.refusals import InvalidInput, NotFound
from models_app.serializers import AnsweredSerializer, PredictionRequest
from models_app.serving import Answered

MEMBERS = ("instances", "subject", "explain")
LONGEST_SUBJECT = 255


class AnsweringView(APIView):
    """A door for predictions."""

    def client(self) -> User | None:
        user = self.request.user
        return user if user.is_authenticated else None

    def predict(self, name: str, instances: list[object], **options: Any) -> Answered:
        return serving.predict(
            name, instances, client=self.client(), consumer=self.consumer(), **options
        )

    def consumer(self) -> Consumer:
        return Consumer.of(self.client(), self.request.META)


class PredictView(AnsweringView):
    """Predict up to 1,000 instances with the version that serves.

    Without a key or a staff login, probabilities are rounded to 2 decimals and a regression's
    value to 5 significant digits (the setting EVERLEARN_ANONYMOUS_DIGITS). A request that needs
    more than is left of the client's daily quota: 429 `quota_exceeded`.
    """

    def open_to(self, _: Request) -> bool:
        try:
            return serving.registered(self.kwargs["name"]).public
        except NotFound:
            # Told only to those who may ask: a stranger cannot tell private from unknown.
            return False

    @extend_schema(request=PredictionRequest, responses=AnsweredSerializer)
    def post(self, request: Request, name: str) -> HttpResponse:
        return written(self.predict(name, **read(request.data)))


class PreviewView(AnsweringView):
    """Try one version, whether it serves or not.

    What it answers is logged as a preview: outside of monitoring, and nobody can give feedback
    on it. `generation` is that of the model meanwhile.
    """

    @extend_schema(request=PredictionRequest, responses=AnsweredSerializer)
    def post(self, request: Request, name: str, number: int) -> HttpResponse:
        options = {"client": self.client(), "consumer": self.consumer(), **read(request.data)}
        return written(serving.preview(name, number, **options))


def read(body: Any) -> dict[str, Any]:
    """What a body asks, as `serving.predict` takes it. Raises InvalidInput."""
    if not isinstance(body, dict):
        raise InvalidInput([Problem("", "invalid_type", "The body must be an object.")])
    instances, subject = body.get("instances"), body.get("subject", "")
    explain = body.get("explain", False)
    unknown = islice((name for name in body if name not in MEMBERS), MAX_PROBLEMS)
    problems = [
        Problem(
            name[:80],
            "unknown_field",
            unknown_name("member", name, MEMBERS, hint=number < MAX_HINTS),
        )
        for number, name in enumerate(unknown)
    ]
    if "instances" not in body:
        problems.append(Problem("instances", "required", "A list of instances is expected."))
    elif not isinstance(instances, list):
        problems.append(Problem("instances", "invalid_type", "A list of instances is expected."))
    if not isinstance(explain, bool):
        problems.append(Problem("explain", "invalid_type", "true or false is expected."))
    if not isinstance(subject, str):
        problems.append(Problem("subject", "invalid_type", "A string is expected."))
    elif len(subject) > LONGEST_SUBJECT:
        problems.append(
            Problem(
                "subject", "value_too_long", f"At most {LONGEST_SUBJECT} characters are allowed."
            )
        )
    if problems:
        raise InvalidInput(problems[:MAX_PROBLEMS])
    return {"instances": instances or [], "subject": subject, "explain": explain}


def written(answered: Answered, headers: dict[str, str] | None = None) -> HttpResponse:
    # A dataclass is written as an object of its fields, which are the contract's.
    content = orjson.dumps(answered)
    return HttpResponse(content, content_type="application/json", headers=headers)
