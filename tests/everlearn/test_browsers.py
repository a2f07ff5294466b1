"""W2, W3: what a hostile page can have a browser do here, and where it can be sent."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from feedback_app.models import RetrainingRun
from models_app.models import Deployment, RegisteredModel
from tests.factories import LONG, make_champion, make_model, make_user, make_version
from tests.staff import page_of

pytestmark = pytest.mark.django_db

LOGIN = "/admin/login/"
ELSEWHERE = [
    "//evil.example", "///evil.example", "https:evil.example", "https://evil.example/admin/",
    "\\\\evil.example", "/\\evil.example", "%2F%2Fevil.example", "//evil.example%2f..",
    "javascript:alert(1)", "http:///evil.example", " //evil.example", "/\t/evil.example",
    "//testserver@evil.example/", "data:text/html,x",
]  # fmt: skip


@pytest.fixture
def staff_user() -> dict[str, str]:
    make_user("max", groups=("manager",), is_staff=True)
    return {"username": "max", "password": "secret"}


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
def test_a_login_leads_nowhere_else(staff_user: dict[str, str], elsewhere: str) -> None:
    """W2."""
    browser = Client(HTTP_ACCEPT="text/html")

    in_the_form = browser.post(LOGIN, {**staff_user, "next": elsewhere})
    already_in = browser.get(LOGIN, {"next": elsewhere})
    browser.logout()
    in_the_address = browser.post(f"{LOGIN}?next={elsewhere}", staff_user)

    for answer in (in_the_form, already_in, in_the_address):
        assert answer.status_code == 302
        target = answer["Location"]
        # An encoded one is a relative path here, of this site whatever it spells.
        assert target == "/admin/" or (target.startswith("%2F") and "//" not in target)


def test_a_login_leads_on_to_a_page_of_ours(staff_user: dict[str, str]) -> None:
    model = make_model()
    make_champion(model)

    answer = Client().post(LOGIN, {**staff_user, "next": page_of(model)})

    assert answer["Location"] == page_of(model)


@pytest.mark.parametrize("path", ["/", "/api/models/", "/predict", "/health", "/docs", LOGIN])
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "evil.example:8000"])
def test_a_forged_host_is_refused(path: str, host: str) -> None:
    """W2."""
    for accept in ("text/html", "application/json"):
        answer = Client(HTTP_ACCEPT=accept).get(path, headers={"Host": host})
        if path == "/health":  # asked by probes that know no name, and answers with no link
            continue
        assert answer.status_code == 400
        assert "evil.example" not in answer.text
        told = Client().get(path, headers={"X-Forwarded-Host": host})
        assert "evil.example" not in told.text


@pytest.fixture
def model() -> RegisteredModel:
    model = make_champion(make_model()).registered_model
    make_version(model)
    return model


def _browser() -> Client:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(make_user("root", is_staff=True, is_superuser=True))
    browser.get("/admin/models_app/registeredmodel/")
    return browser


def test_a_page_of_another_origin_changes_nothing_with_a_staff_browser(
    model: RegisteredModel,
) -> None:
    """W3. With the cookies of a superuser, and even with the token of the form."""
    browser = _browser()
    version = model.versions.latest("number")
    token = browser.get(page_of(version, "promote")).context["csrf_token"]
    form = {"reason": "forged", "expected_generation": "1", "csrfmiddlewaretoken": str(token)}
    evil = {"Origin": "https://evil.example", "Referer": "https://evil.example/"}

    for path in (
        page_of(version, "promote"), page_of(model, "roll_back"), page_of(model, "train_now"),
        page_of(model), "/admin/everlearn/apikey/add/", "/admin/auth/user/add/",
        "/admin/feedback_app/feedback/", reverse("model-page", args=["leaves"]),
    ):  # fmt: skip
        assert browser.post(path, form, headers=evil).status_code == 403
    for path in ("promote", "rollback", "retrain", "reload"):
        answer = browser.post(
            f"/api/models/leaves/{path}/", {"version": 2, "reason": "forged"},
            content_type="application/json", headers=evil | {"X-CSRFToken": str(token)},
        )  # fmt: skip
        assert answer.status_code == 403
        assert answer.json()["type"] == "client_error"
    assert Deployment.objects.count() == 1
    assert not RetrainingRun.objects.exists()


def test_a_staff_browser_uses_the_api_with_its_token(model: RegisteredModel) -> None:
    browser = _browser()
    version = model.versions.latest("number")
    token = str(browser.get(page_of(version, "promote")).context["csrf_token"])

    def promoted(**headers: str) -> int:
        return browser.post(
            "/api/models/leaves/promote/", {"version": 2, "reason": "better"},
            content_type="application/json", headers=headers,
        ).status_code  # fmt: skip

    assert promoted() == 403
    assert promoted(**{"X-CSRFToken": token}) == 200
    assert Deployment.objects.latest("pk").door == "api"


def test_a_key_is_judged_by_itself_whatever_cookies_come_with_it(key: object) -> None:
    """W3. A superuser's cookie beside a key adds nothing to it; a wrong key is told so."""
    make_champion(make_model(public=False))
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(make_user("root", is_staff=True, is_superuser=True))
    assert callable(key)
    narrow = {"Authorization": f"Bearer {key('read')}"}

    promote = "/api/models/leaves/promote/"
    assert browser.get("/api/models/leaves/", headers=narrow).status_code == 200
    assert browser.post(promote, {}, headers=narrow).status_code == 403
    assert browser.post(promote, {}, headers={"Authorization": "Bearer x"}).status_code == 401
    ask = {"Authorization": f"Bearer {key('predict')}"}
    body = {"instances": [LONG]}
    assert browser.post("/api/models/leaves/predict/", body, headers=ask).status_code == 200


def test_cookies_are_kept_from_scripts_and_from_other_sites(staff_user: dict[str, str]) -> None:
    """W3. Secure, too, where the public address is https: see test_configuration.py."""
    browser = Client(HTTP_ACCEPT="text/html")
    browser.get(LOGIN)
    browser.post(LOGIN, staff_user)

    assert len(browser.cookies) >= 2
    for cookie in browser.cookies.values():
        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"
