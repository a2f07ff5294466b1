from __future__ import annotations

from typing import Any

import pytest
from django.core import signing
from django.test import Client

from feedback_app.models import Feedback
from feedback_app.pages import LEARNT, LOOKED_AT
from models_app import serving
from models_app.models import Prediction
from models_app.pages import SIGNED_FOR
from tests.factories import LONG, make_champion, make_model, make_user

pytestmark = pytest.mark.django_db

PATH = "/models/leaves/feedback/"


@pytest.fixture
def browser() -> Client:
    return Client(HTTP_ACCEPT="text/html")


def shown_answer() -> str:
    """What the page puts into its form under an answer: here, that a long leaf is an oak's."""
    answered = serving.predict("leaves", [LONG], client=None)
    return signing.dumps(answered.predictions[0]["id"], salt=SIGNED_FOR)


def test_yes_is_feedback_that_agrees(browser: Client) -> None:
    make_champion()

    response = browser.post(PATH, {"answer": shown_answer(), "right": "yes"})

    feedback = Feedback.objects.get()
    assert (feedback.value, feedback.status) == ("oak", "accepted")
    assert feedback.prediction == Prediction.objects.get()
    assert LEARNT in response.text


def test_thanks_are_given_on_the_same_page_with_the_answer_still_there(browser: Client) -> None:
    make_champion()

    page = browser.post(PATH, {"answer": shown_answer(), "right": "yes"}).text

    assert '<p class="value">oak</p>' in page
    assert 'name="feature-length" value="9"' in page
    assert "Was this right?" not in page


def test_the_right_answer_is_kept_with_its_comment(browser: Client) -> None:
    make_champion()

    page = browser.post(
        PATH, {"answer": shown_answer(), "value": "elm", "comment": "I planted it"}
    ).text

    feedback = Feedback.objects.get()
    assert (feedback.value, feedback.comment) == ("elm", "I planted it")
    # The model was sure of the opposite, so somebody looks first.
    assert feedback.status == "quarantined"
    assert LOOKED_AT in page


def test_a_second_word_replaces_the_first(browser: Client) -> None:
    make_champion()
    answer = shown_answer()

    browser.post(PATH, {"answer": answer, "value": "elm"})
    browser.post(PATH, {"answer": answer, "right": "yes"})

    standing = Feedback.objects.exclude(status="superseded")
    assert [feedback.value for feedback in standing] == ["oak"]


@pytest.mark.parametrize("value", ["", "x" * 300])
def test_what_is_no_answer_is_told_beside_the_field(browser: Client, value: Any) -> None:
    make_champion()

    response = browser.post(PATH, {"answer": shown_answer(), "value": value, "comment": "kept"})

    assert response.status_code == 400
    assert 'id="right-value_error"' in response.text
    assert 'value="kept"' in response.text
    assert not Feedback.objects.exists()


@pytest.mark.parametrize(("text", "stored"), [("3.25", [3.25]), ("about three", []), ("nan", [])])
def test_where_numbers_are_answered_the_right_answer_is_a_number(
    browser: Client, text: str, stored: list[float]
) -> None:
    version = make_champion(make_model(task="regression"))
    prediction = Prediction.objects.create(
        registered_model=version.registered_model, version=version, generation=1,
        input=LONG, value=2.5, probabilities=None,
    )  # fmt: skip
    answer = signing.dumps(str(prediction.pk), salt=SIGNED_FOR)

    browser.post(PATH, {"answer": answer, "value": text})

    assert [feedback.value for feedback in Feedback.objects.all()] == stored


def test_the_form_works_only_for_an_answer_that_the_page_gave(browser: Client) -> None:
    make_champion()
    shown_answer()
    prediction = str(Prediction.objects.get().pk)

    for forged in ("", prediction, signing.dumps(prediction), signing.dumps("x", salt="other")):
        assert browser.post(PATH, {"answer": forged, "right": "yes"}).status_code == 404
    assert not Feedback.objects.exists()


def test_an_answer_of_another_model_is_not_judged_here(browser: Client) -> None:
    make_champion()
    make_champion(make_model("other"))

    response = browser.post("/models/other/feedback/", {"answer": shown_answer(), "right": "yes"})

    assert response.status_code == 404
    assert not Feedback.objects.exists()


def test_a_private_model_takes_no_feedback_from_passers_by(browser: Client) -> None:
    model = make_champion().registered_model
    answer = shown_answer()
    model.public = False
    model.save(update_fields=["public"])

    response = browser.post(PATH, {"answer": answer, "right": "yes"})

    assert response.headers["Location"] == "/admin/login/?next=/models/leaves/"
    assert not Feedback.objects.exists()


def test_somebody_elses_answer_is_not_theirs_to_judge(browser: Client) -> None:
    make_champion()
    answered = serving.predict("leaves", [LONG], client=make_user())
    answer = signing.dumps(answered.predictions[0]["id"], salt=SIGNED_FOR)

    assert browser.post(PATH, {"answer": answer, "right": "yes"}).status_code == 404
    assert not Feedback.objects.exists()


def test_opening_the_address_writes_nothing(browser: Client) -> None:
    make_champion()

    assert browser.get(PATH).status_code == 405
    assert not Feedback.objects.exists()
