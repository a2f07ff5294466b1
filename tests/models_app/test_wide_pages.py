"""The page of a model that takes more values than anybody types."""

from __future__ import annotations

from functools import cache
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pandas as pd
import pytest
from django.test import Client

from models_app.learning import pipeline, tables
from models_app.learning.schema import Feature, Schema
from models_app.models import ModelVersion, Prediction
from tests.factories import make_champion, make_model

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser() -> Client:
    return Client(HTTP_ACCEPT="text/html")


def schema_of(genes: int) -> Schema:
    return Schema(tuple(Feature(f"gene_{place}", "number") for place in range(genes)))


@cache
def bundle_of(genes: int) -> str:
    """A bundle that says yes where the first gene is above zero."""
    from models_app.conversion import make_bundle

    schema = schema_of(genes)
    cells = np.random.default_rng(0).normal(size=(60, genes)).round(2)
    frame = pd.DataFrame(cells, columns=list(schema.names))
    tumour = np.where(frame["gene_0"] > 0, "yes", "no").astype(object)
    estimator = pipeline.build("logistic", schema=schema, task="classification", seed=0)
    estimator.fit(tables.encode(frame, schema), tumour)
    made = make_bundle(
        estimator, name="genes", schema=schema, task="classification",
        classes=("no", "yes"), instances=tables.instances_of(frame, schema),
    )  # fmt: skip
    return made.digest


def make_genes(genes: int) -> ModelVersion:
    features = schema_of(genes).to_json()
    return make_champion(
        make_model("genes", target="tumour", features=features),
        features=features, classes=["no", "yes"], bundle_digest=bundle_of(genes),
    )  # fmt: skip


def entered(genes: int) -> dict[str, str]:
    return {f"feature-gene_{place}": "0.25" for place in range(genes)}


def test_a_form_of_1200_fields_is_answered_and_explained(browser: Client) -> None:
    make_genes(1200)

    asked = browser.get("/models/genes/")
    answered = browser.post("/models/genes/", entered(1200))

    assert asked.text.count('name="feature-gene_') == 1200
    assert "It takes 1200 values" in asked.text
    assert "/api/models/genes/predict-batch/" in asked.text
    assert answered.status_code == 200
    assert '<p class="value">' in answered.text
    assert "Why:" in answered.text
    assert len(Prediction.objects.get().input) == 1200


def test_what_is_wrong_in_a_long_form_stands_beside_each_field(browser: Client) -> None:
    make_genes(1200)

    response = browser.post(
        "/models/genes/", {**entered(1200), "feature-gene_1100": "1,5", "feature-gene_7": ""}
    )

    assert response.status_code == 400
    assert response.text.count('_error">') == 2
    assert '<a href="#feature-1100">gene_1100</a>: Enter a number as 12.5' in response.text


@pytest.mark.parametrize("method", ["get", "post"])
def test_more_values_than_a_form_can_ask_for_are_told_with_the_ways_out(
    browser: Client, method: str
) -> None:
    make_genes(2001)

    response = getattr(browser, method)("/models/genes/", entered(2001))

    assert response.status_code == (200 if method == "get" else 400)
    assert "It takes 2001 values, more than a form can ask for." in " ".join(response.text.split())
    for way in ("/api/models/genes/predict/", "/api/models/genes/predict-batch/", "/docs"):
        assert way in response.text
    assert 'name="feature-gene_' not in response.text


def test_an_explanation_that_would_take_too_much_memory_is_refused(api: Any) -> None:
    make_genes(2001)
    instance = dict.fromkeys(schema_of(2001).names, 0.25)

    plain = api.post("/api/models/genes/predict/", {"instances": [instance]})
    explained = api.post("/api/models/genes/predict/", {"instances": [instance], "explain": True})

    assert plain.status_code == 200
    assert explained.status_code == 413
    (error,) = explained.json()["errors"]
    assert error["code"] == "too_many_features"
    assert "leave 'explain' out" in error["detail"]


@pytest.mark.parametrize("path", ["/models/leaves/", "/models/leaves/feedback/", "/admin/login/"])
def test_a_form_of_more_fields_than_any_model_takes_is_a_page_that_says_so(
    browser: Client, path: str
) -> None:
    make_champion()
    sent = urlencode({f"feature-{place}": "1" for place in range(20_001)})

    response = browser.post(path, sent, content_type="application/x-www-form-urlencoded")

    assert response.status_code == 400
    assert response.headers["Content-Type"].startswith("text/html")
    assert "more than 20000 fields. Send the values as JSON or as a file instead." in response.text
