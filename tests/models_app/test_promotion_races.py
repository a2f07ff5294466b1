"""R1: two managers decide at once, one in the admin and one over the API."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from django.contrib.messages import constants, get_messages
from django.db import connection
from django.test import Client
from rest_framework.test import APIClient

from models_app.models import Deployment, ModelVersion, RegisteredModel
from tests.factories import make_champion, make_model, make_version
from tests.staff import page_of

ROUNDS = 100


def over_api(api: APIClient, version: ModelVersion, generation: int) -> tuple[int, Any]:
    """The status, and the generation that it tells."""
    body = {"version": version.number, "reason": "mine", "expected_generation": generation}
    response = api.post(f"/api/models/{version.registered_model}/promote/", body)
    answer = response.json()
    if response.status_code == 409:
        assert [error["code"] for error in answer["errors"]] == ["generation_conflict"]
        assert response.headers["Content-Type"] == "application/json"
    return response.status_code, answer["generation"]


def in_admin(manager: Client, version: ModelVersion, generation: int) -> tuple[int, Any]:
    """As over the API: a page says the same in words."""
    sent = {"reason": "mine", "expected_generation": generation}
    response = manager.post(page_of(version, "promote"), sent)
    assert response.status_code == 302
    (message,) = get_messages(response.wsgi_request)
    manager.cookies.pop("messages", None)  # as if the next page had shown it
    if message.level == constants.SUCCESS:
        return 200, int(str(message).rsplit(maxsplit=1)[-1].rstrip("."))
    assert f"generation {generation} no longer serves" in str(message)
    return 409, int(str(message).split(", ")[1].split()[0])


def at_once(*calls: Callable[[], tuple[int, Any]]) -> list[tuple[int, Any]]:
    """What each answered, all let go in the same moment."""
    together = threading.Barrier(len(calls))

    def run(call: Callable[[], tuple[int, Any]]) -> tuple[int, Any]:
        try:
            together.wait(30)
            return call()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


@pytest.mark.django_db(transaction=True)
def test_of_two_promotions_at_once_one_happens_and_the_other_is_told(
    client_with: Callable[..., APIClient], manager: Client
) -> None:
    model, api = make_model(), client_with("promote")
    make_champion(model)

    for generation in range(1, ROUNDS + 1):
        mine, yours = make_version(model), make_version(model, turned=True)
        answers = at_once(
            partial(over_api, api, mine, generation), partial(in_admin, manager, yours, generation)
        )

        assert sorted(answers) == [(200, generation + 1), (409, generation + 1)]
        serves = RegisteredModel.objects.get().champion
        assert serves == (mine if answers[0][0] == 200 else yours)

    lines = list(Deployment.objects.order_by("generation"))
    assert [line.generation for line in lines] == list(range(1, ROUNDS + 2))
    assert [line.previous_id for line in lines[1:]] == [line.version_id for line in lines[:-1]]
    assert {line.door for line in lines[1:]} == {"api", "admin"}
    assert ModelVersion.objects.filter(status="champion").count() == 1
