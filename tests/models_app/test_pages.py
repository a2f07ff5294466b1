from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from models_app.models import Prediction
from models_app.pages import Answer
from tests.factories import make_champion, make_model, make_user

pytestmark = pytest.mark.django_db

OAK = {"feature-length": "9", "feature-width": "1"}


@pytest.fixture
def browser() -> Client:
    return Client(HTTP_ACCEPT="text/html")


def logged_in(**fields: Any) -> Client:
    client = Client(HTTP_ACCEPT="text/html")
    client.force_login(make_user(**{"is_staff": True, **fields}))
    return client


def test_home_lists_the_public_models_only(browser: Client) -> None:
    make_champion(make_model("open"))
    make_model("hidden", public=False)
    make_model("gone", retired_at=timezone.now())

    page = browser.get("/").text

    assert "/models/open/" in page
    assert "Version 1 answers" in page
    assert "hidden" not in page
    assert "gone" not in page


def test_home_sends_staff_to_the_dashboard() -> None:
    response = logged_in().get("/")

    assert (response.status_code, response.headers["Location"]) == (302, "/admin/")


def test_a_model_asks_for_each_of_its_features(browser: Client) -> None:
    make_champion()

    page = browser.get("/models/leaves/").text

    assert '<label for="feature-0">length' in page
    assert '<label for="feature-1">width' in page
    assert "Was this right?" not in page


def test_an_answer_comes_with_its_probabilities_and_is_in_the_log(browser: Client) -> None:
    make_champion()

    page = browser.post("/models/leaves/", OAK).text

    logged = Prediction.objects.get()
    assert (logged.value, logged.input) == ("oak", {"length": 9.0, "width": 1.0})
    assert '<p class="value">oak</p>' in page
    assert logged.probabilities is not None
    # Without a login a probability has two decimals.
    assert f"{100 * round(logged.probabilities['oak'], 2):.1f} %" in page
    assert "Was this right?" in page
    assert str(logged.pk) in page


def test_a_value_left_out_is_named_beside_its_field_and_nothing_is_logged(browser: Client) -> None:
    make_champion()

    response = browser.post("/models/leaves/", {"feature-length": "9"})

    assert response.status_code == 400
    assert 'aria-describedby="feature-1_error"' in response.text
    assert '<p class="error" id="feature-1_error">This field is required.</p>' in response.text
    assert 'value="9"' in response.text
    assert not Prediction.objects.exists()


@pytest.mark.parametrize("name", ["nothing-here", "gone"])
def test_an_unknown_or_retired_model_is_a_page_that_says_so_to_those_who_may_ask(name: str) -> None:
    make_model("gone", retired_at=timezone.now())

    response = logged_in(username="vera", groups=("viewer",)).get(f"/models/{name}/")

    assert response.status_code == 404
    assert "There is nothing at this address" in response.text


def test_a_model_that_nothing_serves_says_so(browser: Client) -> None:
    make_model()

    response = browser.get("/models/leaves/")

    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert "leaves is not ready" in response.text


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_private_model_asks_to_log_in_first(browser: Client, method: str) -> None:
    make_champion(make_model(public=False))

    response = getattr(browser, method)("/models/leaves/", OAK)

    assert response.status_code == 302
    assert response.headers["Location"] == "/admin/login/?next=/models/leaves/"
    assert not Prediction.objects.exists()


def test_a_private_model_answers_those_who_may_ask_and_knows_them() -> None:
    make_champion(make_model(public=False))

    response = logged_in(username="vera", groups=("viewer",)).post("/models/leaves/", OAK)

    assert response.status_code == 200
    assert Prediction.objects.get().client == User.objects.get(username="vera")


def test_a_private_model_is_refused_to_staff_without_the_permission() -> None:
    make_champion(make_model(public=False))

    assert logged_in().get("/models/leaves/").status_code == 403


@pytest.mark.parametrize("who", ["anonymous", "staff without the permission"])
@pytest.mark.parametrize(
    ("method", "page"), [("get", ""), ("head", ""), ("post", ""), ("post", "feedback/")]
)
def test_who_may_not_ask_cannot_tell_a_private_model_from_one_that_is_not_there(
    browser: Client, who: str, method: str, page: str
) -> None:
    make_champion(make_model("aaaaaa", public=False))
    make_model("bbbbbb", public=False, retired_at=timezone.now())
    client = browser if who == "anonymous" else logged_in()
    client.get("/health")  # the first request of a login notes its browser
    client.get("/models/dddddd/")
    seen = []
    for name in ("aaaaaa", "bbbbbb", "cccccc"):
        with CaptureQueriesContext(connection) as asked:
            response = getattr(client, method)(f"/models/{name}/{page}", OAK)
        headers = {
            key: value.replace(name, "NAME")
            for key, value in response.headers.items()
            if key not in ("X-Request-ID", "Content-Security-Policy")
        }
        # Tokens and request ids differ from answer to answer; their lengths do not.
        seen.append((response.status_code, headers, len(response.content), len(asked)))

    assert seen[0] == seen[1] == seen[2]
    assert seen[0][0] == (302 if who == "anonymous" else 403)


def test_a_form_from_elsewhere_is_refused() -> None:
    make_champion()
    elsewhere = Client(enforce_csrf_checks=True, HTTP_ACCEPT="text/html")

    response = elsewhere.post("/models/leaves/", OAK)

    assert response.status_code == 403
    assert "Nothing was done" in response.text
    assert not Prediction.objects.exists()


@pytest.mark.parametrize("path", ["/", "/models/leaves/", "/models/none/"])
def test_pages_bring_no_script_and_allow_none_from_elsewhere(browser: Client, path: str) -> None:
    make_champion()

    response = browser.get(path)

    assert "script-src 'self';" in response.headers["Content-Security-Policy"] + ";"
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    for forbidden in ("<script", "<style", "style=", "http://", "https://", "onclick"):
        assert forbidden not in response.text


def test_hostile_words_of_a_declaration_are_only_words(browser: Client) -> None:
    make_champion(make_model(target="<img src=x onerror=alert(1)>"))

    assert "<img src=x" not in browser.post("/models/leaves/", OAK).text
    assert "<img src=x" not in browser.get("/").text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("oak", "oak"),
        (12.0, "12"),
        (1234567.891, "1,234,567.891"),
        (0.00012345, "0.0001234"),
        (0.0, "0"),
    ],
)
def test_an_answer_is_written_as_people_write_it(value: Any, text: str) -> None:
    assert Answer(prediction="", value=value, version=1).text == text


def test_only_the_likeliest_classes_have_a_bar() -> None:
    likely = {str(digit): digit / 100 for digit in range(14)}

    answer = Answer.of({"id": "", "value": "13", "probabilities": likely}, 1)

    assert [share.label for share in answer.shown][:2] == ["13", "12"]
    assert (len(answer.shown), answer.hidden) == (10, 4)


def test_an_answer_says_why(browser: Client) -> None:
    make_champion()

    page = browser.post("/models/leaves/", OAK).text

    why = page[page.index("Why:") :]
    assert why.index("length") < why.index("+")
    assert '<rect class="fill" x="50.00%"' in why
    assert "style=" not in why
