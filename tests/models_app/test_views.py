from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from models_app.models import Deployment, RegisteredModel, TrainingSnapshot
from tests.factories import SCHEMA, make_champion, make_gate, make_model, make_user, make_version

pytestmark = pytest.mark.django_db

ClientWith = Callable[..., APIClient]
ONE = "/api/models/leaves/"


def code(response: Any) -> str:
    found: str = response.json()["errors"][0]["code"]
    return found


def names(response: Any) -> list[str]:
    return [model["name"] for model in response.json()["results"]]


def test_anybody_sees_the_public_models_and_readers_all(
    api: APIClient, client_with: ClientWith
) -> None:
    make_model("leaves")
    make_model("roots", public=False)
    make_model("twigs", retired_at=timezone.now())

    assert names(api.get("/api/models/")) == ["leaves"]
    assert names(client_with("predict").get("/api/models/")) == ["leaves"]
    assert names(client_with("read").get("/api/models/")) == ["leaves", "roots"]
    assert api.get("/api/models/roots/").status_code == 401
    assert api.get("/api/models/unknown/").status_code == 401
    assert client_with("predict").get("/api/models/roots/").status_code == 403
    assert client_with("read").get("/api/models/roots/").status_code == 200
    assert client_with("read").get("/api/models/twigs/").status_code == 404


def test_a_list_comes_in_pages(client_with: ClientWith) -> None:
    for number in range(5):
        make_model(f"leaves-{number}")
    client = client_with("read")

    first = client.get("/api/models/?page_size=3")
    second = client.get(first.json()["next"])

    assert first.json()["previous"] is None
    assert names(first) + names(second) == [f"leaves-{number}" for number in range(5)]
    assert second.json()["next"] is None


def test_a_model_says_what_it_is_before_and_after_it_serves(api: APIClient) -> None:
    model = make_model(retrain={"feedback": 100}, promotion={"mode": "manual"})
    assert api.get(ONE).json() == {
        "name": "leaves",
        "task": "classification",
        "target": "kind",
        "classes": [],
        "metric": "balanced_accuracy",
        "features": SCHEMA.to_json(),
        "public": True,
        "version": None,
        "generation": 0,
        "metric_at_promotion": None,
        "live_metric": None,
        "retrain": {"feedback": 100},
        "promotion": {"mode": "manual"},
        "feedback": {},
    }

    make_champion(model, metrics={"balanced_accuracy": 0.97})

    after = api.get(ONE).json()
    assert (after["version"], after["generation"]) == (1, 1)
    assert (after["classes"], after["metric_at_promotion"]) == (["elm", "oak"], 0.97)


def test_versions_are_listed_newest_first_with_all_that_is_known(client_with: ClientWith) -> None:
    model = make_model()
    first = make_champion(model)
    make_version(model, metrics={"accuracy": 0.5})
    client = client_with("read")

    listed = client.get(f"{ONE}versions/").json()["results"]

    assert [version["number"] for version in listed] == [2, 1]
    assert listed[1] == client.get(f"{ONE}versions/1/").json()
    assert listed[1]["status"] == "champion"
    assert listed[1]["aliases"] == ["prod"]
    assert listed[1]["bundle_digest"] == first.bundle_digest
    assert listed[0]["metrics"] == {"accuracy": 0.5}
    assert listed[0]["gate"]["verdict"] == "PROMOTE"
    assert client.get(f"{ONE}versions/3/").status_code == 404
    assert client_with("promote").get(f"{ONE}versions/").status_code == 403


def test_a_version_says_who_gave_how_much_and_masks_addresses(client_with: ClientWith) -> None:
    given = {"reviewed": 0, "trained": 3, "judged": 1, "unusable": 0, "weight": 0.02}
    snapshot = TrainingSnapshot.objects.create(
        registered_model=make_model(), digest="5f" * 32, rows=142, feedback_rows=12,
        sources=[
            {"source": "address:203.0.113.7", "offered": 600, "kept": 4, **given},
            {"source": "address:203.0.113.99", "offered": 9, "kept": 4, **given},
            {"source": "address:2001:db8:1:2::", "offered": 9, "kept": 4, **given},
            {"source": "user:key-app", "offered": 20, "kept": 20, **given},
        ],
    )  # fmt: skip
    make_champion(snapshot=snapshot)

    told = client_with("read").get(f"{ONE}versions/1/").json()["snapshot"]["sources"]

    assert [one["source"] for one in told] == [
        "user:key-app", "address:203.0.113.0/24", "address:2001:db8:1::/48",
    ]  # fmt: skip
    assert told[1] == {
        "source": "address:203.0.113.0/24", "offered": 609, "reviewed": 0, "kept": 8,
        "trained": 6, "judged": 2, "unusable": 0, "broke_training": 0, "weight": 0.04,
    }  # fmt: skip


def test_a_version_names_a_hundred_sources_at_most(client_with: ClientWith) -> None:
    sources = [{"source": f"user:{n}", "offered": 1, "kept": 1} for n in range(1000)]
    snapshot = TrainingSnapshot.objects.create(
        registered_model=make_model(), digest="5f" * 32, rows=1, feedback_rows=1, sources=sources
    )
    make_champion(snapshot=snapshot)

    told = client_with("read").get(f"{ONE}versions/1/").json()["snapshot"]["sources"]

    assert (len(told), told[-1]["source"], told[-1]["kept"]) == (100, "others", 901)


def test_a_promotion_is_answered_with_its_line_of_the_ledger(client_with: ClientWith) -> None:
    model = make_model()
    make_champion(model)
    make_version(model)

    response = client_with("promote").post(
        f"{ONE}promote/", {"version": 2, "expected_generation": 1, "reason": "better"}
    )

    assert response.status_code == 200
    line = response.json()
    assert line.pop("actor").startswith("key-")
    assert line.pop("at")
    assert line == {
        "generation": 2,
        "version": 2,
        "previous": 1,
        "action": "promote",
        "door": "api",
        "reason": "better",
        "override": False,
    }


def test_promoting_what_serves_changes_nothing(client_with: ClientWith) -> None:
    make_champion()

    response = client_with("promote").post(f"{ONE}promote/", {"version": 1, "reason": "again"})

    assert (response.status_code, response.json()["generation"]) == (200, 1)
    assert Deployment.objects.count() == 1


def test_a_decision_on_an_older_generation_is_told_the_present_one(
    client_with: ClientWith,
) -> None:
    model = make_model()
    make_champion(model)
    make_version(model)

    response = client_with("promote").post(
        f"{ONE}promote/", {"version": 2, "expected_generation": 0, "reason": "late"}
    )

    assert response.status_code == 409
    assert code(response) == "generation_conflict"
    assert response.json()["generation"] == 1


def test_what_the_gate_refused_is_refused_and_no_key_overrides_it(
    client_with: ClientWith,
) -> None:
    model = make_model()
    make_champion(model)
    make_version(model, gate=make_gate("REJECT", against=1))
    client = client_with("promote")

    refused = client.post(f"{ONE}promote/", {"version": 2, "reason": "please"})
    overridden = client.post(f"{ONE}promote/", {"version": 2, "reason": "please", "override": True})

    assert (refused.status_code, code(refused)) == (422, "gate_failed")
    assert overridden.status_code == 403
    assert RegisteredModel.objects.get().generation == 1


def test_a_superuser_overrides_the_gate_in_a_browser(api: APIClient) -> None:
    model = make_model()
    make_champion(model)
    make_version(model, gate=make_gate("REJECT", against=1))
    api.force_login(make_user("root", is_staff=True, is_superuser=True))

    response = api.post(f"{ONE}promote/", {"version": 2, "reason": "I know more", "override": True})

    assert response.status_code == 200
    assert (response.json()["override"], response.json()["actor"]) == (True, "root")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"version": 9, "reason": "x"}, 404),
        ({"version": 1}, 400),
        ({"version": "first", "reason": "x"}, 400),
        ({"version": 1, "reason": " "}, 400),
        ({"version": 1, "reason": "x", "because": "y"}, 400),
        ([1], 400),
    ],
)
def test_a_promotion_that_makes_no_sense_is_refused(
    client_with: ClientWith, body: object, status: int
) -> None:
    make_version(make_model())

    assert client_with("promote").post(f"{ONE}promote/", body).status_code == status


def test_an_unknown_field_is_named(client_with: ClientWith) -> None:
    make_champion()

    response = client_with("promote").post(f"{ONE}rollback/", {"reason": "worse", "too": 1})

    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert (error["code"], error["attr"]) == ("unknown_field", "too")
    assert "'to'" in error["detail"]


def test_a_rollback_is_a_new_generation(client_with: ClientWith) -> None:
    model = make_model()
    make_champion(model)
    make_champion(model, turned=True)
    client = client_with("promote")

    back = client.post(f"{ONE}rollback/", {"reason": "worse"})
    forth = client.post(f"{ONE}rollback/", {"reason": "better after all", "to": 2})

    assert (back.status_code, back.json()["version"], back.json()["generation"]) == (200, 1, 3)
    assert (forth.json()["version"], forth.json()["generation"]) == (2, 4)
    assert forth.json()["action"] == "rollback"
    unknown = client.post(f"{ONE}rollback/", {"reason": "further", "to": 9})
    assert unknown.status_code == 404


def test_only_those_who_may_promote(api: APIClient, client_with: ClientWith) -> None:
    make_version(make_model())
    asked = {"version": 1, "reason": "x"}

    assert api.post(f"{ONE}promote/", asked).status_code == 401
    assert client_with("read", "retrain").post(f"{ONE}promote/", asked).status_code == 403


def test_the_ledger_is_listed_newest_first(client_with: ClientWith) -> None:
    model = make_model()
    make_champion(model)
    make_champion(model)

    lines = client_with("read").get(f"{ONE}deployments/").json()["results"]

    assert [line["generation"] for line in lines] == [2, 1]
    assert [line["previous"] for line in lines] == [1, None]


def test_the_ledger_says_what_served_at_a_time(client_with: ClientWith) -> None:
    model, actor = make_model(), make_user()
    start = timezone.now() - timedelta(days=3)
    for days in (1, 2):
        Deployment.objects.create(
            registered_model=model, generation=days, version=make_version(model), actor=actor,
            at=start + timedelta(days=days),
        )  # fmt: skip
    client = client_with("read")

    def at(days: float) -> Any:
        moment = (start + timedelta(days=days)).isoformat()
        return client.get(f"{ONE}deployments/", {"at": moment})

    assert at(0.5).status_code == 404
    assert at(1.5).json()["version"] == 1
    assert at(2.5).json()["version"] == 2
    for nonsense in ("yesterday", "2024-05-31T12:00:00", "2024-13-31T12:00:00Z", "",
                     "0001-01-01T00:00:00+01:00"):  # fmt: skip
        assert client.get(f"{ONE}deployments/", {"at": nonsense}).status_code == 400
    far = client.get(f"{ONE}deployments/", {"at": "2024-05-31T12:00:00-21:39"})
    assert far.json()["errors"][0]["detail"] == "Nothing served then."
