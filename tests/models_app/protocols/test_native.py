from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from models_app import serving
from models_app.models import Prediction
from tests.factories import LONG, SHORT, make_champion, make_model, make_version

pytestmark = pytest.mark.django_db

URL = "/api/models/leaves/predict/"
ClientWith = Callable[..., APIClient]


def errors(response: Any) -> list[tuple[str, str | None]]:
    return [(error["code"], error["attr"]) for error in response.json()["errors"]]


def test_a_public_model_answers_anybody(api: APIClient) -> None:
    make_champion()

    response = api.post(URL, {"instances": [SHORT, LONG]})

    assert response.status_code == 200
    body = response.json()
    assert {key: body[key] for key in ("model", "version", "generation")} == {
        "model": "leaves",
        "version": 1,
        "generation": 1,
    }
    assert [prediction["value"] for prediction in body["predictions"]] == ["elm", "oak"]
    logged = Prediction.objects.get(pk=body["predictions"][1]["id"])
    assert (logged.value, logged.subject, logged.client) == ("oak", "", None)


@pytest.mark.parametrize("url", [URL, "/predict"])
def test_a_person_is_named_with_a_key_only(
    api: APIClient, client_with: ClientWith, url: str
) -> None:
    """S19: else anybody could write into what is exported and forgotten of that person."""
    make_champion()
    body = {"instances": [SHORT], "subject": "ada"}

    refused = api.post(url, body)

    assert (refused.status_code, errors(refused)) == (400, [("subject_needs_key", "subject")])
    assert not Prediction.objects.exists()
    assert api.post(url, {**body, "subject": ""}).status_code == 200
    assert client_with("predict").post(url, body).status_code == 200
    assert Prediction.objects.get(subject="ada").client


def test_a_private_model_answers_only_keys_that_may_predict(
    api: APIClient, client_with: ClientWith
) -> None:
    make_champion(make_model(public=False))
    asked = {"instances": [SHORT]}

    assert api.post(URL, asked).status_code == 401
    assert client_with("read", "feedback").post(URL, asked).status_code == 403
    assert client_with("predict").post(URL, asked).status_code == 200
    assert Prediction.objects.get().client is not None


def test_a_stranger_cannot_tell_a_private_model_from_an_unknown_one(
    api: APIClient, client_with: ClientWith
) -> None:
    make_champion(make_model(public=False))
    asked = {"instances": [SHORT]}

    private, unknown = api.post(URL, asked), api.post("/api/models/roots/predict/", asked)

    assert (private.status_code, private.json()) == (unknown.status_code, unknown.json())
    assert client_with("predict").post("/api/models/roots/predict/", asked).status_code == 404


def test_nothing_promoted_yet_is_not_ready(api: APIClient) -> None:
    make_version(make_model())

    response = api.post(URL, {"instances": [SHORT]})

    assert response.status_code == 503
    assert errors(response) == [("model_not_ready", None)]
    assert response["Retry-After"]


@pytest.mark.parametrize(
    ("instance", "code", "attr"),
    [
        ({"length": 1.0}, "required", "instances.0.width"),
        ({**SHORT, "width": None}, "null", "instances.0.width"),
        ({**SHORT, "width": "1"}, "invalid_type", "instances.0.width"),
        ({**SHORT, "width": True}, "invalid_type", "instances.0.width"),
        ({**SHORT, "width": 10**400}, "not_finite", "instances.0.width"),
        ({**SHORT, "widht": 1}, "unknown_feature", "instances.0.widht"),
        ([1, 2], "invalid_instance", "instances.0"),
    ],
)
def test_a_wrong_instance_is_named(api: APIClient, instance: object, code: str, attr: str) -> None:
    make_champion()

    response = api.post(URL, {"instances": [instance]})

    assert response.status_code == 400
    assert errors(response) == [(code, attr)]
    assert not Prediction.objects.exists()


def test_an_unknown_feature_is_answered_with_the_nearest_valid_name(api: APIClient) -> None:
    make_champion()

    response = api.post(URL, {"instances": [{**SHORT, "widht": 1}]})

    assert "width" in response.json()["errors"][0]["detail"]


@pytest.mark.parametrize("number", [1.1e30, -3e38, 3.4e38, 1e39, 1e300])
def test_a_number_that_no_version_can_compute_with_is_named(api: APIClient, number: float) -> None:
    make_champion()

    response = api.post(URL, {"instances": [SHORT, {**SHORT, "length": number}]})

    assert response.status_code == 400
    assert errors(response) == [("not_finite", "instances.1.length")]


@pytest.mark.parametrize("number", [1e30, -1e30, 1e-320, 0.0])
def test_any_other_number_is_answered(api: APIClient, number: float) -> None:
    make_champion()

    assert api.post(URL, {"instances": [{**SHORT, "length": number}]}).status_code == 200


@pytest.mark.parametrize(
    ("body", "code", "attr"),
    [
        ({}, "required", "instances"),
        ({"instances": []}, "empty", "instances"),
        ({"instances": SHORT}, "invalid_type", "instances"),
        ({"instances": [SHORT], "instance": 1}, "unknown_field", "instance"),
        ({"instances": [SHORT], "subject": 7}, "invalid_type", "subject"),
        ({"instances": [SHORT], "subject": "s" * 256}, "value_too_long", "subject"),
        ([SHORT], "invalid_type", None),
    ],
)
def test_a_wrong_body_is_named(api: APIClient, body: object, code: str, attr: str | None) -> None:
    make_champion()

    response = api.post(URL, body)

    assert response.status_code == 400
    assert errors(response) == [(code, attr)]


def test_more_than_a_thousand_instances_are_too_many(api: APIClient) -> None:
    make_champion()

    response = api.post(URL, {"instances": [SHORT] * 1001})

    assert response.status_code == 413
    assert errors(response) == [("too_many_instances", None)]


def test_reading_a_prediction_route_is_not_allowed(api: APIClient) -> None:
    make_champion()

    response = api.get(URL)

    assert response.status_code == 405
    assert response.json()["type"] == "client_error"


def test_an_answer_can_be_explained(api: APIClient) -> None:
    make_champion()

    body = api.post(URL, {"instances": [SHORT, LONG], "explain": True}).json()

    for prediction in body["predictions"]:
        explanation = prediction["explanation"]
        assert list(explanation) == ["length", "width"]
        assert explanation["length"] > 0.2 > abs(explanation["width"])
    assert "explanation" not in api.post(URL, {"instances": [SHORT]}).json()["predictions"][0]


def test_without_a_key_an_explanation_has_three_digits(
    api: APIClient, client_with: ClientWith
) -> None:
    make_champion()
    body = {"instances": [{"length": 4.9, "width": 3.3}], "explain": True}

    public, own = (
        client.post(URL, body).json()["predictions"][0]["explanation"]
        for client in (api, client_with("predict"))
    )

    assert public != own
    for name, value in public.items():
        assert value == pytest.approx(float(f"{own[name]:.3g}"), abs=1e-7)


def test_no_more_is_explained_than_is_cheap(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_champion()
    monkeypatch.setattr(serving, "MAX_EXPLAINED_ROWS", 2 * 3 * 3)

    assert api.post(URL, {"instances": [SHORT] * 3, "explain": True}).status_code == 200
    response = api.post(URL, {"instances": [SHORT] * 4, "explain": True})

    assert response.status_code == 413
    assert errors(response) == [("too_many_instances", None)]
    assert Prediction.objects.count() == 3


def test_explain_is_true_or_false(api: APIClient) -> None:
    make_champion()

    response = api.post(URL, {"instances": [SHORT], "explain": "yes"})

    assert (response.status_code, errors(response)) == (400, [("invalid_type", "explain")])
