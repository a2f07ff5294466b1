"""everlearn/access.py and permissions.py: who gets past which route."""

from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import resolve
from rest_framework.test import APIClient
from rest_framework.views import APIView

from everlearn.access import GROUPS, SCOPES, create_groups, permission_rows
from everlearn.permissions import OWN, ScopePermission
from tests.factories import make_champion, make_model, make_user

pytestmark = pytest.mark.django_db

ROUTES = [
    ("get", "/api/models/leaves/", "read"),
    ("post", "/api/models/leaves/predict/", "predict"),
    ("get", "/api/models/leaves/versions/", "read"),
    ("get", "/api/models/leaves/versions/1/", "read"),
    ("post", "/api/models/leaves/promote/", "promote"),
    ("post", "/api/models/leaves/rollback/", "promote"),
    ("post", "/api/models/leaves/retrain/", "retrain"),
    ("get", "/api/models/leaves/deployments/", "read"),
    ("get", "/api/runs/", "read"),
    ("get", "/api/runs/1/", "read"),
    ("post", "/api/runs/1/cancel/", "retrain"),
    ("post", "/predict", "predict"),
    ("post", "/trigger", "retrain"),
]
# Asked with the right scope, these wait ten seconds for a worker; their own tests do.
RELOADS = [
    ("post", "/api/models/leaves/reload/", "reload"),
    ("post", "/reload-model", "reload"),
]
each_route = pytest.mark.parametrize(("method", "path", "scope"), ROUTES + RELOADS)


@pytest.fixture
def private_model():
    return make_champion(make_model(public=False)).registered_model


@each_route
def test_a_private_model_asks_for_a_key(api, private_model, method, path, scope):
    answer = getattr(api, method)(path)

    assert answer.status_code == 401
    assert answer.json()["errors"][0]["code"] == "not_authenticated"
    assert answer["WWW-Authenticate"] == "Bearer"


@each_route
def test_every_other_scope_together_is_not_enough(client_with, private_model, method, path, scope):
    answer = getattr(client_with(*(set(SCOPES) - {scope})), method)(path)

    assert answer.status_code == 403
    assert answer.json()["errors"][0]["code"] == "permission_denied"


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
def test_the_one_scope_is_enough(client_with, private_model, method, path, scope):
    answer = getattr(client_with(scope), method)(path)

    assert answer.status_code not in (401, 403)


@pytest.mark.parametrize("path", ["/api/models/leaves/", "/api/models/no-such/"])
def test_a_stranger_cannot_tell_a_private_model_from_none(api, private_model, path):
    assert api.get(path).status_code == 401
    assert api.post(path + "predict/").status_code == 401


def test_a_view_without_a_scope_lets_nobody_in(rf, admin_user):
    request = APIView().initialize_request(rf.get("/"))
    request.user = admin_user

    assert not ScopePermission().has_permission(request, APIView())


def test_every_route_of_ours_names_a_scope_or_is_a_probe():
    paths = [path for _, path, _ in ROUTES + RELOADS] + ["/api/models/", "/api/feedback/"]
    paths.append(f"/api/predictions/{uuid4()}/")
    for path in paths:
        assert vars(resolve(path).func)["view_class"].scope in (*SCOPES, OWN)


def test_the_scopes_permissions_exist():
    for scope, names in SCOPES.items():
        assert len(permission_rows([scope])) == len(names)


def test_groups_of_staff_are_there_after_migrating_and_what_staff_change_stays():
    viewer = Group.objects.get(name="viewer")
    assert set(viewer.permissions.all()) == set(permission_rows(GROUPS["viewer"]))
    viewer.permissions.clear()

    create_groups()

    assert not viewer.permissions.exists()


def _browser(**user) -> Client:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(make_user(**user))
    return browser


def test_a_viewer_in_a_browser_reads_and_does_not_promote(private_model):
    browser = _browser(is_staff=True, groups=("viewer",))

    assert browser.get("/api/models/leaves/").status_code == 200
    assert browser.post("/api/models/leaves/promote/").status_code == 403


def test_a_browser_changes_nothing_without_the_csrf_token(private_model):
    answer = _browser(is_staff=True, groups=("manager",)).post("/api/models/leaves/retrain/")

    assert answer.status_code == 403
    assert "CSRF" in answer.json()["errors"][0]["detail"]


def test_a_login_that_is_not_of_staff_counts_as_none(private_model):
    assert _browser(groups=("manager",)).get("/api/models/leaves/").status_code == 401


def test_a_superuser_in_a_browser_may_read_everything(private_model):
    browser = _browser(is_staff=True, is_superuser=True)

    assert browser.get("/api/models/leaves/versions/").status_code == 200


def test_a_public_model_answers_anybody(api):
    make_champion(make_model(public=True))

    answer = APIClient().post(
        "/api/models/leaves/predict/", {"instances": [{"length": 9, "width": 1}]}
    )

    assert answer.status_code == 200
