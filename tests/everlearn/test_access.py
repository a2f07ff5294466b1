"""everlearn/access.py and permissions.py: what the roles are given, and who a browser is."""

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import ResolverMatch
from rest_framework.test import APIClient
from rest_framework.views import APIView

from everlearn.access import ACTIONS, GROUPS, SCOPES, create_groups, permission_rows
from everlearn.permissions import DoorPermission
from tests.factories import make_champion, make_model, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def private_model():
    return make_champion(make_model(public=False)).registered_model


def test_the_permissions_of_every_action_exist():
    for name, action in ACTIONS.items():
        assert len(permission_rows([name])) == len(action.permissions)


def test_the_scopes_are_those_of_the_contract():
    assert list(SCOPES) == [
        "read", "predict", "feedback", "review", "retrain", "promote", "reload",
    ]  # fmt: skip


def test_the_groups_of_staff_are_as_the_table_says_after_each_migration():
    viewer, manager = (Group.objects.get(name=name) for name in ("viewer", "manager"))
    assert set(viewer.permissions.all()) == set(permission_rows(["read", "predict"]))
    assert set(manager.permissions.all()) == set(permission_rows([*SCOPES, "queue", "privacy"]))
    viewer.permissions.clear()

    create_groups()

    assert set(viewer.permissions.all()) == set(permission_rows(GROUPS["viewer"]))


def test_a_view_that_no_row_of_the_table_names_lets_nobody_in(rf, admin_user):
    request = APIView().initialize_request(rf.get("/"))
    request.user = admin_user
    assert not DoorPermission().has_permission(request, APIView())

    request._request.resolver_match = ResolverMatch(APIView.as_view(), (), {}, "not-in-the-table")
    assert not DoorPermission().has_permission(request, APIView())


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
