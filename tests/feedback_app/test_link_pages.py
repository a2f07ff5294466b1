"""F4: the page behind a feedback link."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from feedback_app.links import Link
from feedback_app.models import Feedback
from feedback_app.pages import LEARNT, LOOKED_AT
from models_app import promotion
from models_app.models import Deployment, Prediction
from tests.factories import make_champion, make_model, make_user
from tests.feedback_app.makers import make_feedback, make_prediction

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser() -> Client:
    """With CSRF enforced, as for everybody outside tests."""
    return Client(enforce_csrf_checks=True, HTTP_ACCEPT="text/html")


@pytest.fixture
def prediction() -> Prediction:
    """Of a private model, answered to somebody else."""
    version = make_champion(make_model(public=False))
    return make_prediction(version, client=make_user())


def link_to(prediction: Prediction, *, seconds: float = 60, link_id: str = "one") -> Link:
    return Link(prediction.pk, link_id, timezone.now() + timedelta(seconds=seconds))


def path_of(link: Link) -> str:
    return f"/f/{link}"


def test_it_shows_the_answer_and_asks_whether_it_was_right(
    browser: Client, prediction: Prediction
) -> None:
    page = browser.get(path_of(link_to(prediction)))

    assert page.status_code == 200
    assert '<p class="value">oak</p>' in page.text
    assert "Was this right?" in page.text
    assert '<option value="elm">' in page.text


def test_opening_it_writes_nothing_however_often(browser: Client, prediction: Prediction) -> None:
    """A mail scanner opens links, too: GET, HEAD, a prefetch."""
    path = path_of(link_to(prediction))
    for _ in range(3):
        assert browser.get(path, headers={"Sec-Purpose": "prefetch"}).status_code == 200
        assert browser.head(path).status_code == 200
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS"):
        assert browser.generic(method, path).status_code == 405

    assert not Feedback.objects.exists()
    assert not browser.cookies
    assert browser.post(path, {"right": "yes"}).status_code == 200


@pytest.mark.parametrize(
    ("sent", "value", "status", "thanks"),
    [
        ({"right": "yes"}, "oak", "accepted", LEARNT),
        ({"value": "elm", "comment": "I saw it"}, "elm", "quarantined", LOOKED_AT),
    ],
)
def test_a_word_without_an_account_counts_to_the_client_that_was_answered(
    browser: Client, prediction: Prediction, sent: Any, value: str, status: str, thanks: str
) -> None:
    page = browser.post(path_of(link_to(prediction)), sent)

    assert page.status_code == 200
    assert thanks in page.text
    word = Feedback.objects.get()
    assert (word.value, word.status, word.prediction) == (value, status, prediction)
    assert (word.source, word.link, word.given_by) == ("user:ada", "one", None)
    assert word.comment == sent.get("comment", "")


@pytest.mark.parametrize("method", ["get", "head", "post"])
def test_a_used_link_says_that_the_answer_is_recorded(
    browser: Client, prediction: Prediction, method: str
) -> None:
    path = path_of(link_to(prediction))
    browser.post(path, {"right": "yes"})

    again = getattr(browser, method)(path, {"value": "elm"})

    assert again.status_code == 410
    assert method == "head" or "already recorded" in again.text
    assert [word.value for word in Feedback.objects.all()] == ["oak"]


def test_a_word_by_another_link_for_the_same_prediction_takes_the_place_of_the_first(
    browser: Client, prediction: Prediction
) -> None:
    """Both count to the one who made the links; each link stays used."""
    paths = [path_of(link_to(prediction, link_id=link_id)) for link_id in ("one", "two")]
    for path, said in zip(paths, ("oak", "elm"), strict=True):
        assert browser.post(path, {"value": said}).status_code == 200

    second, first = Feedback.objects.all()
    assert (first.status, first.superseded_by) == ("superseded", second)
    assert (first.source, second.source, second.value) == ("user:ada", "user:ada", "elm")
    assert [browser.post(path, {"value": "elm"}).status_code for path in paths] == [410, 410]


@pytest.mark.parametrize("method", ["get", "post"])
def test_an_expired_link_says_so(browser: Client, prediction: Prediction, method: str) -> None:
    path = path_of(link_to(prediction, seconds=-1))

    page = getattr(browser, method)(path, {"right": "yes"})

    assert page.status_code == 410
    assert "has expired" in page.text
    assert not Feedback.objects.exists()


def test_an_altered_link_looks_the_same_whatever_was_altered(
    browser: Client, prediction: Prediction
) -> None:
    """Also one that has expired, or leads nowhere: a wrong signature is all that is told."""
    good = path_of(link_to(prediction))
    expired = path_of(link_to(prediction, seconds=-9))
    altered = [good[:-1] + "~", "/f/x" + good[4:], expired[:-1] + "~", "/f/nothing", "/f/a.b.c"]

    pages = [browser.get(path) for path in altered] + [browser.post(altered[0], {"right": "yes"})]

    assert {page.status_code for page in pages} == {404}
    assert len({page.content for page in pages}) == 1
    assert "does not work" in pages[0].text
    assert not Feedback.objects.exists()


def test_for_an_altered_link_nothing_is_looked_up_but_how_often_that_happened(
    browser: Client, prediction: Prediction
) -> None:
    """So neither the answer nor its time tells whether there is such a prediction."""
    path = path_of(link_to(prediction))
    with CaptureQueriesContext(connection) as captured:
        browser.get(path[:-1] + "~")

    told = [query["sql"] for query in captured if " " in query["sql"]]
    assert [sql for sql in told if "_strike" not in sql and "SAVEPOINT" not in sql] == []


def test_a_prediction_that_is_no_more_is_gone(browser: Client, prediction: Prediction) -> None:
    link = Link(uuid4(), "one", timezone.now() + timedelta(minutes=1))

    assert browser.get(path_of(link)).status_code == 410
    prediction.registered_model.retired_at = timezone.now()
    prediction.registered_model.save()
    page = browser.post(path_of(link_to(prediction)), {"right": "yes"})
    assert page.status_code == 410
    assert "no longer asked" in page.text


def test_after_a_rollback_the_word_counts_for_the_version_that_answered(
    browser: Client, prediction: Prediction
) -> None:
    make_champion(prediction.registered_model, turned=True)
    promotion.rollback(
        prediction.registered_model, actor=make_user("boss", is_superuser=True),
        door=Deployment.Door.CLI, reason="complaints",
    )  # fmt: skip

    page = browser.post(path_of(link_to(prediction)), {"right": "yes"})

    assert page.status_code == 200
    word = Feedback.objects.get()
    assert word.prediction
    assert word.prediction.version == prediction.version


def test_it_may_be_shown_in_any_frame_and_its_address_stays_here(
    browser: Client, prediction: Prediction
) -> None:
    """W7. The pages that say no, too."""
    path = path_of(link_to(prediction))
    for page in (browser.get(path), browser.get(path + "~")):
        assert "frame-ancestors *" in page.headers["Content-Security-Policy"]
        assert "'none' *" not in page.headers["Content-Security-Policy"]
        assert "script-src 'self'" in page.headers["Content-Security-Policy"]
        assert "X-Frame-Options" not in page.headers
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert "no-store" in page.headers["Cache-Control"]
    assert "frame-ancestors 'none'" in browser.get("/").headers["Content-Security-Policy"]


@pytest.mark.parametrize("sent", [{}, {"value": ""}, {"value": "x" * 300}, {"comment": "kept"}])
def test_what_is_no_answer_is_told_beside_the_field_and_the_link_stays_good(
    browser: Client, prediction: Prediction, sent: Any
) -> None:
    path = path_of(link_to(prediction))

    page = browser.post(path, sent)

    assert page.status_code == 400
    assert 'id="right-value_error"' in page.text
    assert browser.post(path, {"right": "yes"}).status_code == 200


def test_the_number_of_a_regression_is_asked_for(browser: Client) -> None:
    version = make_champion(make_model(task="regression"), classes=[])
    prediction = make_prediction(version, value=2.5, probabilities=None)

    page = browser.get(path_of(link_to(prediction)))
    browser.post(path_of(link_to(prediction)), {"value": "3.25"})

    assert 'type="number"' in page.text
    assert Feedback.objects.get().value == 3.25


def test_words_of_others_about_the_same_prediction_use_up_no_link(
    browser: Client, prediction: Prediction
) -> None:
    make_feedback(prediction.registered_model, prediction=prediction, source="user:ada")

    assert browser.post(path_of(link_to(prediction)), {"right": "yes"}).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_of_two_who_use_a_link_at_once_one_is_told_that_it_is_used(
    prediction: Prediction,
) -> None:
    path, statuses = path_of(link_to(prediction)), []

    def use() -> None:
        try:
            statuses.append(Client().post(path, {"right": "yes"}).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == [200, 410, 410, 410]
    assert Feedback.objects.count() == 1
