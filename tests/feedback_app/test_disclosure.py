"""S11: an answer to feedback tells nobody which rows judge the versions, nor their answers."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from rest_framework.test import APIClient

from feedback_app import golden
from feedback_app.models import Feedback
from feedback_app.pages import LEARNT
from models_app.learning.rows import digest_instance
from models_app.models import Prediction, RegisteredModel
from tests.conftest import KeyMaker
from tests.factories import LONG, make_champion, make_model
from tests.feedback_app.makers import make_prediction
from tests.feedback_app.trained import WINE, instances_of, make_trained, train

pytestmark = pytest.mark.django_db

PATH = "/api/feedback/"
# A feature that hardly matters, so that a row that differs a little there is answered alike.
NUDGED = "ash"


@pytest.fixture
def wine() -> RegisteredModel:
    return make_trained("wine", of=WINE, estimator="logistic")


@pytest.fixture
def leaf() -> RegisteredModel:
    """A long leaf is golden, and an elm; the champion takes it for an oak, but doubts it."""
    known = golden.Golden(
        "kind", answers={digest_instance(LONG): "elm"}, table=secrets.token_hex(32)
    )
    golden.keep(make_model(public=True), known)
    return make_champion().registered_model


def doubted(model: RegisteredModel, features: dict[str, float] = LONG, **fields: Any) -> Any:
    """A prediction that may be contradicted without a word of suspicion."""
    doubt = {"probabilities": {"elm": 0.3, "oak": 0.7}, "input": features}
    return make_prediction(model.versions.get(), **doubt, **fields)


def answers(api: APIClient, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    told = api.post("/api/models/wine/predict/", {"instances": rows}).json()
    found: list[dict[str, Any]] = told["predictions"]
    return found


def expected(answer: dict[str, Any], label: str) -> str:
    """What the answer itself tells of feedback that is held against it."""
    # Of what was logged: a visitor is told two decimals.
    logged = Prediction.objects.get(pk=answer["id"]).probabilities or {}
    doubt = label == answer["value"] or logged[answer["value"]] < 0.95
    return "accepted" if doubt else "quarantined"


def test_what_is_answered_follows_from_the_prediction_alone(
    api: APIClient, wine: RegisteredModel
) -> None:
    """All 178 rows, 36 of them golden, and as many that lie beside them, with each label."""
    rows = instances_of(wine)
    rows += [{**row, NUDGED: round(row[NUDGED] + 0.001, 3)} for row in rows]
    known = golden.read(wine.golden_digest).answers
    told = answers(api, rows)
    for label in ("0", "1", "2"):
        words = [{"model": "wine", "features": row, "value": label} for row in rows]

        results = api.post(PATH, words).json()["results"]

        assert [one["status"] for one in results] == [expected(one, label) for one in told]
        assert {frozenset(one) for one in results} == {frozenset({"index", "code", "id", "status"})}
    contradicting = Feedback.objects.filter(public_status="accepted", status="quarantined")
    hidden = {digest_instance(word.features) for word in contradicting}
    assert hidden  # else the test would have looked at nothing
    assert hidden <= set(known)
    in_doubt = [row for row in rows if digest_instance(row) in hidden]
    for row in in_doubt[:5]:
        near = {**row, NUDGED: round(row[NUDGED] + 0.001, 3)}
        for label in ("0", "1", "2"):
            golden_one, near_one = (_posted(api, features, label) for features in (row, near))
            assert golden_one == near_one


def _posted(api: APIClient, features: dict[str, Any], label: str) -> tuple[Any, ...]:
    """All that is told of a word but its content, and how much work it was to say so."""
    with CaptureQueriesContext(connection) as captured:
        answer = api.post(PATH, {"model": "wine", "features": features, "value": label})
    body = answer.json()
    content = {"id", "features", "at"}
    told = sorted((name, str(value)) for name, value in body.items() if name not in content)
    return answer.status_code, told, len(captured)


def test_who_may_review_is_told_what_contradicts_a_golden_row(
    api: APIClient, client_with: KeyMaker, leaf: RegisteredModel
) -> None:
    said = api.post(PATH, {"prediction": doubted(leaf).pk, "value": "oak"}).json()

    (seen,) = client_with("read", "review").get(PATH).json()["results"]

    assert (said["status"], said["reasons"]) == ("accepted", [])
    assert (seen["status"], seen["reasons"]) == ("quarantined", ["golden_row"])


@pytest.mark.parametrize("scopes", [("feedback",), ("feedback", "read")])
def test_looking_later_tells_no_more(
    client_with: KeyMaker, leaf: RegisteredModel, scopes: tuple[str, ...]
) -> None:
    client = client_with(*scopes)
    client.post(PATH, {"model": "leaves", "features": LONG, "value": "elm"})
    word = Feedback.objects.get()
    Feedback.objects.update(status="quarantined", public_status="accepted", reasons=["golden_row"])

    (seen,) = client.get(PATH).json()["results"]

    assert (seen["id"], seen["status"], seen["reasons"]) == (str(word.pk), "accepted", [])
    assert seen["reason_details"] == {}
    assert _ids(client.get(f"{PATH}?status=accepted")) == [str(word.pk)]
    assert _ids(client.get(f"{PATH}?status=quarantined")) == []
    Feedback.objects.update(status="rejected")  # as a person decides who looks at it
    assert client.get(PATH).json()["results"][0]["status"] == "accepted"


def test_sent_again_the_answer_is_the_same(api: APIClient, leaf: RegisteredModel) -> None:
    body, headers = {"prediction": str(doubted(leaf).pk), "value": "oak"}, {"Idempotency-Key": "a"}
    first = api.post(PATH, body, headers=headers)

    again = api.post(PATH, body, headers=headers)

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert (again.json()["status"], again.json()["reasons"]) == ("accepted", [])


def test_the_prediction_itself_tells_nothing_either(
    client_with: KeyMaker, wine: RegisteredModel
) -> None:
    """Nor does it tell by the training sets that its feedback went into."""
    client = client_with("predict", "feedback")
    known = golden.read(wine.golden_digest).answers
    told = answers(client, rows := instances_of(wine))
    right = [{"prediction": one["id"], "value": one["value"]} for one in told]
    assert {one["status"] for one in client.post(PATH, right).json()["results"]} == {"accepted"}
    assert train(wine).snapshot

    seen = [client.get(f"/api/predictions/{one['id']}/").json() for one in told]

    assert {word["status"] for one in seen for word in one["feedback"]} == {"accepted"}
    lineage = {
        digest_instance(row): str(one["snapshots"]) for row, one in zip(rows, seen, strict=True)
    }
    assert len({lineage[digest] for digest in known if digest in lineage}) == 1
    assert len(set(lineage.values())) == 1
    assert "[]" not in lineage.values()


def test_the_reasons_of_a_suspicion_are_for_reviewers(
    api: APIClient, client_with: KeyMaker
) -> None:
    prediction = make_prediction(make_champion())
    client = client_with("read", "feedback")

    told = [one.post(PATH, {"prediction": prediction.pk, "value": "elm"}) for one in (api, client)]
    seen = client.get(f"/api/predictions/{prediction.pk}/").json()["feedback"]
    reviewed = client_with("read", "review").get(PATH).json()["results"]

    for word in (*(answer.json() for answer in told), *seen):
        assert (word["status"], word["reasons"]) == ("quarantined", [])
    assert {str(word["reasons"]) for word in reviewed} == {"['confident_disagreement']"}


@pytest.mark.parametrize(
    ("value", "policy", "reasons"),
    [("beech", {}, ["new_class"]), ("elm", {"review": "all"}, ["review_all"])],
)
def test_what_the_policy_wants_is_told_to_all(
    api: APIClient, value: str, policy: dict[str, str], reasons: list[str]
) -> None:
    """Also for a row that is golden, and beside what only reviewers see."""
    model = make_champion(make_model(feedback=policy)).registered_model
    golden.keep(model, golden.Golden("kind", answers={digest_instance(LONG): "oak"}, table="f"))

    body = api.post(PATH, {"model": "leaves", "features": LONG, "value": value}).json()

    assert (body["status"], body["reasons"]) == ("pending", reasons)
    assert "golden_row" in Feedback.objects.get().reasons


def test_pages_thank_for_it_as_for_any_word(leaf: RegisteredModel, client_with: KeyMaker) -> None:
    client = client_with("feedback", "read")
    prediction = doubted(leaf)
    link = client.post(f"/api/predictions/{prediction.pk}/feedback-link/", {}).json()["url"]

    page = Client().post(link.removeprefix("http://localhost:8000"), {"right": "yes"})

    assert LEARNT in page.text
    assert Feedback.objects.get().reasons == ["golden_row"]


def test_a_later_word_supersedes_it_for_all_to_see(
    client_with: KeyMaker, leaf: RegisteredModel
) -> None:
    client = client_with("feedback", "read")
    prediction = doubted(leaf)
    for value in ("oak", "elm"):
        client.post(PATH, {"prediction": prediction.pk, "value": value})

    newest, oldest = client.get(PATH).json()["results"]

    assert (newest["status"], oldest["status"]) == ("accepted", "superseded")


def test_the_admin_shows_golden_rows_to_those_who_review_alone(
    leaf: RegisteredModel, api: APIClient, viewer: Client, manager: Client
) -> None:
    api.post(PATH, {"prediction": doubted(leaf).pk, "value": "oak"})
    word = Feedback.objects.get()
    listed = reverse("admin:feedback_app_feedback_changelist")
    page = reverse("admin:feedback_app_feedback_change", args=[word.pk])

    for path in (listed, page):
        assert "golden_row" in manager.get(path).text
        assert "golden_row" not in viewer.get(path).text
    for query in ({"inbox": "waiting"}, {"status__exact": "quarantined"}):
        assert str(word.pk) in manager.get(listed, query).text
        assert str(word.pk) not in viewer.get(listed, query).text


def test_the_export_of_a_person_names_no_golden_row(
    leaf: RegisteredModel, api: APIClient, capsys: Any
) -> None:
    prediction = doubted(leaf, subject="ada")
    api.post(PATH, {"prediction": prediction.pk, "value": "oak"})

    call_command("export_subject", "--subject", "ada")

    (row,) = json.loads(capsys.readouterr().out)["predictions"]
    assert (row["feedback"][0]["status"], row["feedback"][0]["reasons"]) == ("accepted", [])


def _ids(answer: Any) -> Iterable[str]:
    return [one["id"] for one in answer.json()["results"]]
