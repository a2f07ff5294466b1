"""everlearn/negotiation.py: a route answers in its own form, whatever is asked for."""

import pytest

ACCEPTS = ("text/html", "application/xml", "*/*;q=0", "nonsense", "")


@pytest.mark.django_db
@pytest.mark.parametrize("accept", ACCEPTS)
def test_who_has_no_key_is_told_so_in_json(api, accept):
    for path in ("/api/runs/", "/api/models/leaves/", "/api/feedback/?format=xml"):
        answer = api.get(path, headers={"Accept": accept})

        assert answer.status_code == 401
        assert answer["Content-Type"] == "application/json"
        assert answer.json()["errors"][0]["code"] == "not_authenticated"


@pytest.mark.django_db
@pytest.mark.parametrize("accept", ACCEPTS)
@pytest.mark.parametrize(
    "path", ["/api/models/", "/api/schema/", "/health", "/api/models/?format=api"]
)
def test_what_is_there_is_json(api, path, accept):
    answer = api.get(path, headers={"Accept": accept})

    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"


@pytest.mark.django_db
def test_the_docs_are_a_page(api):
    answer = api.get("/docs", headers={"Accept": "application/json"})

    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/html")
