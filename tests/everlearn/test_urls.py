"""everlearn/urls.py: the schema, its interactive page, and static files."""

import re
from contextlib import closing

import pytest

pytestmark = pytest.mark.django_db


def test_the_schema_names_every_route_and_how_to_authenticate(client):
    schema = client.get("/api/schema/").json()

    assert schema["openapi"].startswith("3.")
    assert {"/api/models/", "/api/models/{name}/predict/", "/predict"} <= schema["paths"].keys()
    assert schema["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


def test_the_docs_ask_nobody_else_and_hold_no_inline_script(client):
    page = client.get("/docs").content.decode()

    assert "swagger-ui" in page
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    assert not re.search(r"<style|\bon\w+=", page)
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page)


def test_what_the_docs_link_to_is_there(client):
    page = client.get("/docs").content.decode()
    links = re.findall(r"""(?:src|href)=["']([^"']+)["']""", page)

    assert len(links) >= 4
    for link in links:
        with closing(client.get(link)) as answer:
            assert answer.status_code == 200, link
