from __future__ import annotations

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from feedback_app.models import Feedback
from models_app import previewing
from models_app.models import ModelVersion, Prediction
from tests.factories import LONG, SHORT, make_champion, make_version

pytestmark = pytest.mark.django_db

ClientWith = Callable[..., APIClient]


def url(number: int, name: str = "leaves") -> str:
    return f"/api/models/{name}/versions/{number}/predict/"


@pytest.fixture
def candidate() -> ModelVersion:
    """Version 2, which takes each oak for an elm, beside a champion that does not."""
    return make_version(make_champion().registered_model, turned=True)


def test_a_version_that_does_not_serve_can_be_asked(
    candidate: ModelVersion, client_with: ClientWith
) -> None:
    reader = client_with("read")

    answered = reader.post(url(2), {"instances": [LONG, SHORT], "subject": "leaf-7"}).json()

    assert {key: answered[key] for key in ("model", "version", "generation")} == {
        "model": "leaves",
        "version": 2,
        "generation": 1,
    }
    assert [prediction["value"] for prediction in answered["predictions"]] == ["elm", "oak"]
    logged = Prediction.objects.get(pk=answered["predictions"][0]["id"])
    assert (logged.preview, logged.version, logged.subject) == (True, candidate, "leaf-7")
    assert logged.client is not None


def test_a_model_of_which_nothing_serves_can_be_tried(client_with: ClientWith) -> None:
    make_version()

    answered = client_with("read").post(url(1), {"instances": [LONG]})

    assert (answered.status_code, answered.json()["generation"]) == (200, 0)


def test_trying_needs_the_scope_read(
    candidate: ModelVersion, api: APIClient, client_with: ClientWith
) -> None:
    asked = {"instances": [LONG]}

    assert api.post(url(2), asked).status_code == 401
    assert client_with("predict", "promote").post(url(2), asked).status_code == 403
    assert not Prediction.objects.exists()


def test_what_is_wrong_is_refused_as_it_is_for_the_champion(
    candidate: ModelVersion, client_with: ClientWith
) -> None:
    reader = client_with("read")

    answer = reader.post(url(2), {"instances": [{**LONG, "widht": 1}]})

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["attr"] == "instances.0.widht"
    assert reader.post(url(2), {"instances": [LONG] * 1001}).status_code == 413


def test_versions_that_are_not_there_are_not_found(
    candidate: ModelVersion, client_with: ClientWith
) -> None:
    reader, asked = client_with("read"), {"instances": [LONG]}

    assert reader.post(url(3), asked).status_code == 404
    assert reader.post(url(2, "roots"), asked).status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [{"bundle_digest": ""}, {"unservable_because": "its types are not trusted"}],
    ids=["no bundle", "refused"],
)
def test_a_version_that_cannot_be_served_cannot_be_tried(
    candidate: ModelVersion, client_with: ClientWith, wrong: dict[str, str]
) -> None:
    ModelVersion.objects.filter(pk=candidate.pk).update(**wrong)

    answer = client_with("read").post(url(2), {"instances": [LONG]})

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "not_servable")


def test_a_bundle_that_is_not_there_is_said_so(
    candidate: ModelVersion, client_with: ClientWith
) -> None:
    ModelVersion.objects.filter(pk=candidate.pk).update(bundle_digest="0" * 64)

    answer = client_with("read").post(url(2), {"instances": [LONG]})

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "bundle_unavailable")


def test_a_version_is_loaded_once_for_many_requests(
    candidate: ModelVersion, client_with: ClientWith
) -> None:
    previewing._bundle.cache_clear()
    reader = client_with("read")

    for _ in range(3):
        assert reader.post(url(2), {"instances": [LONG]}).status_code == 200

    assert previewing._bundle.cache_info().misses == 1


def test_nobody_gives_feedback_on_what_was_only_tried(
    candidate: ModelVersion, client_with: ClientWith
) -> None:
    tried = client_with("read").post(url(2), {"instances": [LONG]}).json()["predictions"][0]

    said = client_with("read", "feedback").post(
        "/api/feedback/", {"prediction": tried["id"], "value": "oak"}
    )

    assert said.status_code == 400
    assert (said.json()["errors"][0]["code"], said.json()["errors"][0]["attr"]) == (
        "preview",
        "prediction",
    )
    assert not Feedback.objects.exists()


def test_trying_leaves_the_cache_of_what_serves_alone(
    candidate: ModelVersion, client_with: ClientWith
) -> None:
    client_with("read").post(url(2), {"instances": [LONG]})

    answered = APIClient().post("/api/models/leaves/predict/", {"instances": [LONG]}).json()

    assert (answered["version"], answered["predictions"][0]["value"]) == (1, "oak")
