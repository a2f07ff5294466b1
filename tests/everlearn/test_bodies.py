"""everlearn/bodies.py: how long a body may be; what receives it is in test_web_worker.py."""

from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from django.utils import timezone

from everlearn.body_limits import MIB, limit_of
from everlearn.wsgi import application
from feedback_app.models import RetrainingRun
from models_app.models import RegisteredModel, RegistrySync
from tests.factories import make_champion, make_model
from tests.feedback_app.makers import make_run

PREDICT = "/api/models/leaves/predict/"


@pytest.fixture
def web(one_connection: None) -> Iterator[httpx.Client]:
    """A client of the whole WSGI application, as gunicorn would call it."""
    make_champion(make_model())
    with httpx.Client(
        transport=httpx.WSGITransport(application),
        base_url="http://localhost",
        headers={"Content-Type": "application/json"},
    ) as client:
        yield client


def _codes(answer: httpx.Response) -> list[str]:
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Request-ID"]
    return [error["code"] for error in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        (PREDICT, MIB),
        ("/predict", MIB),
        ("/", MIB),
        ("/api/feedback/", 10 * MIB),
        ("/feedback", 10 * MIB),
        ("/api/feedback/x/review/", MIB),
        ("/admin/login/", MIB),
        ("/admin/everlearn/apikey/", 100 * MIB),
    ],
)
def test_each_route_has_a_limit(path, limit):
    assert limit_of(path) == limit


@pytest.mark.parametrize("size", [3 * MIB, 10 * MIB])
@pytest.mark.parametrize("path", [PREDICT, "/predict", "/trigger", "/api/nothing/", "/api"])
def test_a_body_over_the_limit_is_refused_as_json(web, path, size):
    """H3."""
    answer = web.post(path, content=b"[" + b" " * size + b"]")

    assert answer.status_code == 413
    assert _codes(answer) == ["body_too_large"]


def test_a_body_of_exactly_the_limit_is_read(web):
    body = b'{"instances": [{"length": 9, "width": 1}]' + b" " * (MIB - 42) + b"}"
    assert len(body) == MIB

    assert web.post(PREDICT, content=body).status_code == 200
    assert web.post(PREDICT, content=body + b" ").status_code == 413


def test_a_length_that_promises_too_much_is_refused_unread(web):
    answer = web.post(PREDICT, content=b"{}", headers={"Content-Length": str(10**30)})

    assert answer.status_code == 413


def test_a_body_shorter_than_it_says_is_no_json(web):
    answer = web.post(PREDICT, content=b'{"instances"', headers={"Content-Length": "1000"})

    assert answer.status_code == 400
    assert _codes(answer) == ["parse_error"]


@pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, identity", "?"])
def test_a_compressed_body_is_refused(web, encoding):
    """H3: what it unpacks to could be anything."""
    answer = web.post(PREDICT, content=b"\x1f\x8b", headers={"Content-Encoding": encoding})

    assert answer.status_code == 415
    assert _codes(answer) == ["unsupported_encoding"]


@pytest.mark.parametrize(
    "path", ["/reload-model", "/api/models/leaves/reload/", "/api/runs/{}/cancel/"]
)
def test_a_body_that_has_no_members_may_be_absent_or_empty_and_no_more(web, key, path):
    path = path.format(make_run(RegisteredModel.objects.get()).pk)
    web.headers["Authorization"] = f"Bearer {key('reload', 'retrain')}"

    for body in (b'{"why": 1}', b"[]", b"{garbage", b"null"):
        assert web.post(path, content=body).status_code == 400
    answer = web.post(path, content=b'{"why": 1}')
    assert answer.json()["errors"][0] | {"detail": ""} == {
        "code": "unknown_field", "detail": "", "attr": "why",
    }  # fmt: skip
    tomorrow = timezone.now() + timedelta(days=1)  # as though a worker had answered
    RegistrySync.objects.update_or_create(
        pk=1, defaults={"started_at": tomorrow, "finished_at": tomorrow}
    )
    assert web.post(path).status_code == 200
    RetrainingRun.objects.update(status="queued")
    assert web.post(path, content=b"{}").status_code == 200


@pytest.mark.parametrize("path", [PREDICT, "/predict", "/feedback", "/api/feedback/"])
def test_no_body_at_all_lacks_what_is_required(web, path):
    answer = web.post(path)

    assert answer.status_code == 400
    assert _codes(answer)


def test_a_page_answers_a_browser_with_a_page(web):
    answer = web.post("/", content=b" " * 2 * MIB, headers={"Accept": "text/html"})

    assert answer.status_code == 413
    assert answer.headers["Content-Type"].startswith("text/html")
