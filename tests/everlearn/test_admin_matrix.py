"""A1, A3, A4: the matrix of roles and actions, tried at the pages of the admin and the site."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.test.client import RequestFactory
from django.urls import reverse
from django.utils import timezone
from django_q.models import Failure, OrmQ, Schedule, Success, Task

from everlearn.doors import ADMIN, ROUTES
from everlearn.keys import create_key
from feedback_app.models import RetentionState
from feedback_app.queueing import wake
from models_app.actors import system_user
from models_app.usage import DailyUsage
from tests.everlearn.routes import ROLES, STAFF, client_as, may, staff_member
from tests.factories import make_champion, make_model, make_rows
from tests.feedback_app.makers import make_feedback, make_run
from tests.staff import page_of, staff

pytestmark = pytest.mark.django_db

VERBS = ("view", "add", "change", "delete")
PAGES = {page.opts.label_lower: page for page in admin.site._registry.values()}
NOBODY = "nobody"
each_page = pytest.mark.parametrize("label", ADMIN)
each_role = pytest.mark.parametrize("role", STAFF)


def _may(role: str, label: str, verb: str) -> bool:
    action = ADMIN[label].get(verb, NOBODY)
    return action != NOBODY and may(role, action)


def _address(label: str, page: str, *args: object) -> str:
    return reverse(f"admin:{label.replace('.', '_')}_{page}", args=args)


@each_role
@each_page
def test_a_page_lets_in_exactly_those_whom_the_table_names(
    rf: RequestFactory, label: str, role: str
) -> None:
    """A1. Django asks these for its lists, rows, forms, inlines and bulk actions alike."""
    request = rf.get("/")
    request.user = staff_member(role)

    may_do = {verb: getattr(PAGES[label], f"has_{verb}_permission")(request) for verb in VERBS}

    # Who may change a row may look at it.
    assert may_do == {verb: _may(role, label, verb) for verb in VERBS}


@each_role
@each_page
def test_lists_and_new_rows_are_refused_over_http_too(label: str, role: str) -> None:
    browser = client_as(role)
    listed, new = _address(label, "changelist"), _address(label, "add")

    assert (browser.get(listed).status_code == 200) == _may(role, label, "view")
    assert (browser.get(new).status_code == 200) == _may(role, label, "add")
    for action in ("delete_selected", "retry_failed"):
        sent = {"action": action, "_selected_action": ["1"], "index": "0"}
        answer = browser.post(listed, sent, format="multipart")
        # Where nothing is selected that is there, an action that may be done does nothing.
        refused = answer.status_code == 403
        request = answer.wsgi_request
        offered = _may(role, label, "view") and action in PAGES[label].get_actions(request)
        assert refused == (not offered), action


@each_role
@pytest.mark.parametrize(
    ("label", "button"),
    [(label, name) for label, doors in ADMIN.items() for name in doors if name not in VERBS],
)
def test_a_button_is_refused_at_its_address(label: str, button: str, role: str) -> None:
    browser = client_as(role)
    named = f"admin:{label.replace('.', '_')}_{button}"
    # Actions on a selection of rows have no address; the lists above refuse them.
    if not any(button == one for one in PAGES[label].actions or ()):
        path = reverse(named, args=["0"])
        assert (browser.get(path).status_code != 403) == _may(role, label, button)
        assert (browser.post(path, {}).status_code != 403) == _may(role, label, button)


@each_page
def test_a_row_that_could_not_be_is_not_there(label: str, boss: Client) -> None:
    """Whatever stands for its id in the address or in a form."""
    prefix = f"admin:{label.replace('.', '_')}"
    buttons = set(ADMIN[label]) - {*VERBS, *(PAGES[label].actions or ())}
    for page in ("change", *buttons):
        answer = boss.get(reverse(f"{prefix}_{page}", args=["x"]))
        # Some ids are texts, so that `x` may be one; then Django itself says that none is there.
        assert answer.status_code in (302, 404), page
    for action in PAGES[label].get_actions(boss.get("/admin/").wsgi_request):
        sent = {"action": action, "_selected_action": ["x"], "index": "0"}
        assert boss.post(_address(label, "changelist"), sent).status_code == 404, action


@pytest.mark.parametrize("path", ["/admin/", *(_address(label, "changelist") for label in ADMIN)])
def test_a_stranger_a_key_and_a_login_that_is_not_of_staff_are_sent_to_log_in(path: str) -> None:
    outsider = staff("otto", "manager")
    outsider.session.flush()
    for browser in (Client(), outsider, client_as("key:read,promote"), client_as("a client")):
        answer = browser.get(path)
        assert answer.status_code == 302
        assert answer["Location"].startswith("/admin/login/")


@pytest.mark.parametrize(
    ("name", "method", "role"),
    [
        (name, method, role)
        for name, role in itertools.product(("model-page", "model-feedback"), ROLES)
        for method in ROUTES[name]
    ],
)
def test_the_page_of_a_private_model_is_for_those_whom_the_table_names(
    name: str, method: str, role: str
) -> None:
    """A1. A key is none at a page: it is sent to log in, as a stranger is."""
    make_champion(make_model(public=False))
    browser = client_as(role)
    path = reverse(name, args=["leaves"])

    status = browser.generic(method, path, "", "application/x-www-form-urlencoded").status_code

    if role not in STAFF:
        assert status == 302
    else:
        assert (status not in (302, 403)) == may(role, ROUTES[name][method].action)


def _tasks() -> None:
    now = timezone.now()
    for number, success in enumerate((True, False)):
        Task.objects.create(
            id=f"{number:032}", name=f"task {number}", func="os.system", success=success,
            args=("a secret argument",), started=now, stopped=now,
        )  # fmt: skip
    wake(1)
    Schedule.objects.create(func="os.system", name="forged", args="'true'")


def _everything() -> None:
    """A row of each kind that the admin shows."""
    model = make_rows()
    make_feedback(model)
    make_run(model)
    create_key("robot", ["read"], actor=system_user("cli"))
    DailyUsage.objects.create(subject="network:192.0.2.1", day=timezone.now().date())
    RetentionState.objects.create(kind="predictions")
    _tasks()


FORGED = {
    "status": "champion", "number": "9", "generation": "9", "champion": "1", "reason": "forged",
    "action": "promote", "actor": "1", "override": "on", "value": '"elm"', "weight": "9",
    "attempts": "0", "groups": ["1"], "is_superuser": "on", "permissions": ["1"], "post": "yes",
}  # fmt: skip


@pytest.mark.parametrize("role", ["viewer", "manager"])
@pytest.mark.parametrize("label", ADMIN)
def test_staff_edit_no_row_by_whatever_they_send(label: str, role: str) -> None:
    """A4: their own groups, a version's status, the generation, the ledger, the audit."""
    _everything()
    browser = client_as(role)
    kind: Any = PAGES[label].model
    row = kind.objects.first()
    before = list(kind.objects.order_by("pk").values())

    for verb in ("change", "delete"):
        answer = browser.post(page_of(row, verb), FORGED, format="multipart")
        assert answer.status_code == 403
    answer = browser.post(_address(label, "add"), FORGED, format="multipart")
    assert answer.status_code == 403
    assert list(kind.objects.order_by("pk").values()) == before


@pytest.mark.parametrize("kind", [Success, Failure, OrmQ, Schedule])
def test_managers_read_the_queue_and_run_nothing_again(manager: Client, kind: Any) -> None:
    """A3."""
    _tasks()
    row, listed = kind.objects.first(), _address(kind._meta.label_lower, "changelist")

    assert str(row.pk) in manager.get(listed).text
    page = manager.get(page_of(row)).text
    assert "Save" not in page
    assert "a secret argument" not in page
    for action in ("retry_failed", "resubmit_task", "delete_selected"):
        sent = {"action": action, "_selected_action": [row.pk], "index": "0"}
        assert manager.post(listed, sent).status_code == 403
    assert manager.post(f"{listed}add/", {"func": "os.system"}).status_code == 403
    assert kind.objects.count() == 1


def test_what_lies_in_the_queue_as_a_pickle_is_not_unpickled_for_a_look(boss: Client) -> None:
    _tasks()
    page = PAGES["django_q.success"]

    found = page.get_queryset(boss.get("/admin/").wsgi_request).get()

    assert {"args", "kwargs", "result"} <= found.get_deferred_fields()
