from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from models_app.models import Prediction, RegisteredModel
from models_app.protocols.seed import rows_of
from models_app.refusals import InvalidInput
from tests.factories import LONG, SHORT, make_champion, make_model, make_version

pytestmark = pytest.mark.django_db

ClientWith = Callable[..., APIClient]


def errors(response: Any) -> list[tuple[str, str | None]]:
    return [(error["code"], error["attr"]) for error in response.json()["errors"]]


def test_columns_are_answered_under_the_name_of_the_target(api: APIClient) -> None:
    make_champion()

    response = api.post("/predict", {"length": [1.0, 9.0], "width": [1.0, 1.0]})

    assert response.status_code == 200
    assert response.json() == {"kind": ["elm", "oak"]}
    assert response["X-Model-Version"] == "1"
    ids = response["X-Prediction-Ids"].split(",")
    assert [Prediction.objects.get(pk=one).value for one in ids] == ["elm", "oak"]


def test_the_native_body_is_understood_too(api: APIClient) -> None:
    make_champion()

    response = api.post("/predict", {"instances": [SHORT, LONG]})

    assert [one["value"] for one in response.json()["predictions"]] == ["elm", "oak"]
    assert response["X-Model-Version"] == "1"


@pytest.mark.parametrize(
    ("body", "code", "attr"),
    [
        ({}, "invalid_type", None),
        ([], "invalid_type", None),
        ({"length": 1.0, "width": [1.0]}, "invalid_type", "length"),
        ({"length": [1.0], "width": [1.0, 2.0]}, "unequal_lengths", "width"),
        ({"length": [1.0]}, "required", "instances.0.width"),
        ({"length": [], "width": []}, "empty", "instances"),
        ({"length": [1.0], "width": ["1"]}, "invalid_type", "instances.0.width"),
        ({"length": [1.0] * 1001, "width": [1.0] * 1001}, "too_many_instances", None),
    ],
)
def test_wrong_columns_are_named(api: APIClient, body: object, code: str, attr: str | None) -> None:
    make_champion()

    response = api.post("/predict", body)

    assert response.status_code == (413 if code == "too_many_instances" else 400)
    assert errors(response) == [(code, attr)]


def test_columns_become_rows_in_order() -> None:
    assert rows_of({"a": [1, 2], "b": ["x", None]}) == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]
    with pytest.raises(InvalidInput):
        rows_of("text")


def test_the_default_model_may_be_private(api: APIClient, client_with: ClientWith) -> None:
    make_champion(make_model(public=False))
    asked = {"length": [1.0], "width": [1.0]}

    assert api.post("/predict", asked).status_code == 401
    assert client_with("predict").post("/predict", asked).status_code == 200


def test_nothing_promoted_or_declared_yet_is_not_ready(api: APIClient) -> None:
    for prepare in (lambda: None, lambda: make_version(make_model())):
        prepare()
        response = api.post("/predict", {"length": [1.0], "width": [1.0]})
        assert response.status_code == 503
        assert errors(response) == [("model_not_ready", None)]


def test_a_process_is_ready_once_something_verified_is_loaded(api: APIClient) -> None:
    model = make_model()
    assert api.get("/ready").status_code == 503
    assert api.get("/ready").json() == {"ready": False, "degraded": []}

    make_champion(model)

    assert api.get("/ready").status_code == 200
    assert api.get("/ready").json() == {"ready": True, "degraded": []}


def test_a_failed_load_degrades_readiness_and_serving_goes_on(api: APIClient) -> None:
    model = make_model()
    make_champion(model)
    assert api.get("/ready").status_code == 200
    broken = make_version(model, bundle_digest="0" * 64)
    RegisteredModel.objects.update(champion=broken, generation=2)

    ready = api.get("/ready")

    assert ready.status_code == 200
    assert ready.json()["degraded"][0].startswith("reload_failed")
    answered = api.post("/predict", {"length": [1.0], "width": [1.0]})
    assert (answered.status_code, answered["X-Model-Version"]) == (200, "1")


def test_a_process_lives_before_anything_serves_and_whatever_key_is_sent(api: APIClient) -> None:
    api.credentials(HTTP_AUTHORIZATION="Bearer wrong")

    assert api.get("/health").status_code == 200
    assert api.get("/ready").status_code == 503
