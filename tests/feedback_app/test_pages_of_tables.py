"""What people see in a browser of a model whose table has conventions of its own."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from django.test import Client
from django.utils.html import escape

from feedback_app.models import Feedback
from models_app.models import Prediction
from tests.feedback_app.declared import serve

pytestmark = pytest.mark.django_db


def orders(rows: int = 160) -> str:
    """Orders as a German accounting system writes them: large ones are of class 070."""
    chance, lines = np.random.default_rng(7), ["Nr;Tag;Menge;Ort;Stammkunde;Klasse"]
    for row in range(rows):
        size = chance.uniform(0, 10)
        day = f"{1 + row % 28:02d}.{1 + row % 12:02d}.2024"
        place = ["02116", "02139", "10001"][row % 3]
        known = ["ja", "nein"][row % 2]
        menge = f"{size:.2f}".replace(".", ",")
        lines.append(f"{row + 1};{day};{menge};{place};{known};{'070' if size > 5 else '007'}")
    return "\n".join(lines) + "\n"


SAID = """target = "Klasse"
estimator = "logistic"
ignore = ["Nr"]
[models.model.features.Menge]
label = "Menge in kg"
[models.model.features.Ort]
label = "Postleitzahl"
"""
ORDER = {
    "feature-Tag": "15.06.2024", "feature-Menge": "9,25", "feature-Ort": "02116",
    "feature-Stammkunde": "ja",
}  # fmt: skip


@pytest.fixture
def browser() -> Client:
    return Client(HTTP_ACCEPT="text/html")


def token_in(page: str) -> str:
    found = re.search(r'name="answer" value="([^"]+)"', page)
    assert found
    return found[1]


def test_a_person_asks_as_the_file_writes_and_judges_by_its_classes(browser: Client) -> None:
    serve(orders(), SAID)

    asked = browser.get("/models/model/").text
    page = browser.post("/models/model/", ORDER).text

    for shown in (
        "As 12,5", "As 31.05.2024 or 2024-05-31; UTC", '<option value="02116">02116</option>',
        "Menge in kg", "Postleitzahl",
    ):  # fmt: skip
        assert shown in asked
    assert "feature-Nr" not in asked
    assert '<p class="value">070</p>' in page
    assert "Menge in kg" in page[page.index("Why:") :]
    assert '<option value="007">007</option>' in page[page.index("Was this right?") :]
    assert Prediction.objects.get().input == {
        "Tag": "2024-06-15", "Menge": 9.25, "Ort": "02116", "Stammkunde": "ja",
    }  # fmt: skip


def test_the_right_class_is_kept_as_the_file_spells_it(browser: Client) -> None:
    serve(orders(), SAID)
    page = browser.post("/models/model/", ORDER).text

    again = browser.post("/models/model/feedback/", {"answer": token_in(page), "value": "007"})

    feedback = Feedback.objects.get()
    assert feedback.value == "007"
    assert "new_class" not in feedback.reasons
    assert 'value="9,25"' in again.text


@pytest.mark.parametrize(
    ("field", "typed", "told"),
    [
        ("Tag", "15/06/24", "Enter a date as 31.05.2024 or 2024-05-31, not '15/06/24'."),
        ("Menge", "9,25 kg", "Enter a number as 12,5, not '9,25 kg'."),
        ("Menge", "", "This field is required."),
        ("Ort", "2116", "Select a valid choice. 2116 is not one of the available choices."),
    ],
)
def test_what_is_wrong_stands_beside_its_field_under_its_label(
    browser: Client, field: str, typed: str, told: str
) -> None:
    serve(orders(), SAID)

    response = browser.post("/models/model/", {**ORDER, f"feature-{field}": typed})

    assert response.status_code == 400
    assert f'_error">{escape(told)}</p>' in response.text
    label = {"Menge": "Menge in kg", "Ort": "Postleitzahl"}.get(field, field)
    assert f">{label}</a>: {escape(told)}" in response.text
    assert not Prediction.objects.exists()


def test_where_answers_are_numbers_the_right_one_is_typed_as_the_file_writes_it(
    browser: Client,
) -> None:
    chance = np.random.default_rng(3)
    sizes = [chance.uniform(0, 10) for _ in range(120)]
    lines = [f"{size:.2f};{size * 1000 + 0.5:.2f}".replace(".", ",") for size in sizes]
    serve(
        "\n".join(["groesse;preis", *lines]) + "\n",
        'target = "preis"\ntask = "regression"\nestimator = "ridge"\n',
    )
    page = browser.post("/models/model/", {"feature-groesse": "3,5"}).text

    refused = browser.post("/models/model/feedback/", {"answer": token_in(page), "value": "3.500"})
    browser.post("/models/model/feedback/", {"answer": token_in(page), "value": "3500,75"})

    assert '<p class="note" id="right-value_helptext">As 12,5</p>' in page
    assert refused.status_code == 400
    assert escape("Enter a number as 12,5, not '3.500'.") in refused.text
    assert [feedback.value for feedback in Feedback.objects.all()] == [3500.75]


@pytest.mark.parametrize(
    "send",
    [
        lambda api, row: api.post("/predict", {name: [value] for name, value in row.items()}),
        lambda api, row: api.post("/predict", {"instances": [row]}),
        lambda api, row: api.post("/api/models/model/predict/", {"instances": [row]}),
    ],
)
def test_every_dialect_takes_the_files_dates_and_spellings_and_what_was_left_out(
    api: Any, send: Callable[[Any, dict[str, Any]], Any]
) -> None:
    serve(orders(), SAID)
    row = {"Tag": "2024-06-15", "Menge": 9.25, "Ort": "02116", "Stammkunde": "ja"}

    plain = send(api, row)
    other = send(api, {**row, "Tag": "15.06.2024", "Ort": " 02116 ", "Nr": [{"any": "thing"}]})

    assert (plain.status_code, other.status_code) == (200, 200), other.text
    first, second = Prediction.objects.order_by("pk")
    assert first.input == second.input == row
    assert first.probabilities == second.probabilities


def test_the_api_describes_what_clients_may_send_and_no_column_that_was_left_out(api: Any) -> None:
    model = serve(orders(), SAID)

    told = {one["name"]: one for one in api.get("/api/models/model/").json()["features"]}

    assert list(told) == ["Tag", "Menge", "Ort", "Stammkunde"]
    assert told["Tag"]["reading"] == {"format": "%d.%m.%Y"}
    assert told["Menge"] == {
        "name": "Menge", "kind": "number", "required": True, "reading": {"decimal": ","},
        "label": "Menge in kg",
    }  # fmt: skip
    assert model.champion
    assert model.champion.classes == ["007", "070"]


def test_another_label_shows_at_once_and_trains_nothing(api: Any, browser: Client) -> None:
    model = serve(orders(), SAID)
    model.features = [
        {**one, "label": "Gewicht"} if one["name"] == "Menge" else one for one in model.features
    ]
    model.save()

    assert model.champion
    assert model.recipe == model.champion.recipe
    assert "Gewicht" in browser.get("/models/model/").text
    features = api.get("/api/models/model/").json()["features"]
    assert [one.get("label") for one in features] == [None, "Gewicht", "Postleitzahl", None]


def test_what_was_odd_about_the_data_is_told_with_the_version_that_learnt_from_it(
    client_with: Callable[..., Any],
) -> None:
    lines = orders().splitlines()
    told = [f"{line};{'gross' if line.endswith('070') else 'klein'}" for line in lines[1:]]
    champion = serve("\n".join([f"{lines[0]};Etikett", *told]) + "\n", SAID).champion

    assert champion
    version = client_with("read").get(f"/api/models/model/versions/{champion.number}/").json()

    (warning,) = version["warnings"]["Etikett"]
    assert warning.startswith("Each of its values goes with one class of 'Klasse' only.")


def test_a_feedback_link_names_what_was_asked_by_its_labels(
    browser: Client, client_with: Callable[..., Any]
) -> None:
    serve(orders(), SAID)
    key = client_with("predict", "feedback")
    row = {"Tag": "15.06.2024", "Menge": 9.25, "Ort": "02116", "Stammkunde": "ja"}
    asked = key.post("/api/models/model/predict/", {"instances": [row]}).json()
    prediction = asked["predictions"][0]["id"]
    link = key.post(f"/api/predictions/{prediction}/feedback-link/", {"expires_in": "1d"}).json()

    page = browser.get(urlsplit(link["url"]).path).text

    assert "<dt>Postleitzahl</dt><dd>02116</dd>" in page
    assert '<option value="007">007</option>' in page
