"""everlearn/doors.py: no route, page of the admin or command is missing from the table."""

from pathlib import Path

import pytest
from django.apps import apps
from django.contrib import admin
from django.core.management import get_commands

from everlearn.access import ACTIONS
from everlearn.doors import ADMIN, ANYBODY, COMMANDS, OWN, OWN_PAGES, ROUTES, door
from tests.everlearn.routes import Route, routes

OURS = ("everlearn", "feedback_app", "models_app")
# Of Django's admin itself: they show what the one who is logged in may see.
OF_THE_SITE = {
    "index", "login", "logout", "password_change", "password_change_done", "autocomplete",
    "jsi18n", "view_on_site", "search", "app_list",
}  # fmt: skip
STANDARD = {"changelist", "add", "history", "delete", "change"}


def _missing(route: Route) -> str:
    methods = sorted(route.methods) or ["GET"]
    row = ", ".join(f'"{method}": Door("read")' for method in methods)
    return (
        f"The route {route.name!r} ({route.pattern}) is in no row of ROUTES in "
        f"everlearn/doors.py, so it lets nobody in. Add `{route.name!r}: {{{row}}},` there, with "
        "each method that it answers and the action that it does (a name of ACTIONS in "
        "everlearn/access.py, ANYBODY or OWN). tests/everlearn/test_matrix.py then holds every "
        "role to it."
    )


def test_every_route_has_a_name() -> None:
    nameless = [route.pattern for route in routes() if not route.name]

    assert nameless == [], "give the path a name=…, then a row in everlearn/doors.py"


@pytest.mark.parametrize("route", routes(), ids=lambda route: route.name or route.pattern)
def test_every_route_has_a_row_in_the_table(route: Route) -> None:
    assert route.name in ROUTES, _missing(route)
    if route.methods:
        assert set(ROUTES[route.name]) == route.methods, (
            f"everlearn/doors.py names other methods of {route.name!r} than its view answers"
        )


@pytest.mark.parametrize("route", routes(), ids=lambda route: route.name or route.pattern)
def test_who_may_enter_is_said_in_the_table_and_nowhere_else(route: Route) -> None:
    kind = getattr(route.view, "view_class", None)

    assert not hasattr(kind, "scope"), f"say it in everlearn/doors.py, not as {kind}.scope"


def test_no_row_of_the_table_is_without_its_route() -> None:
    assert set(ROUTES) - {route.name for route in routes()} == set()


def test_every_door_leads_to_an_action_that_is_there() -> None:
    led_to = {one.action for doors in ROUTES.values() for one in doors.values()}
    led_to |= {action for pages in ADMIN.values() for action in pages.values()}
    led_to |= set(COMMANDS.values())

    assert led_to - set(ACTIONS) == {ANYBODY, OWN}


def test_every_page_of_the_admin_is_in_the_table() -> None:
    registered = {page.opts.label_lower: page for page in admin.site._registry.values()}

    assert set(registered) == set(ADMIN), "ADMIN in everlearn/doors.py: a row for each model"
    named = {route.name.removeprefix("admin:") for route in routes(admin=True) if route.name}
    for label, page in registered.items():
        prefix = label.replace(".", "_") + "_"
        buttons = {name.removeprefix(prefix) for name in named if name.startswith(prefix)}
        buttons |= {str(one) for one in page.actions or ()}
        assert buttons - STANDARD <= set(ADMIN[label]), (
            f"{label}: ADMIN in everlearn/doors.py must say which action each button does"
        )
        named -= {name for name in named if name.startswith(prefix)}
    assert named <= OF_THE_SITE | set(OWN_PAGES)
    assert set(OWN_PAGES) <= named


def test_every_command_is_in_the_table() -> None:
    ours = {name for name, app in get_commands().items() if app in OURS}

    assert ours == set(COMMANDS), "COMMANDS in everlearn/doors.py: a row for each command"
    for app in OURS:  # get_commands lets one app's command hide another's of that name
        folder = Path(apps.get_app_config(app).path) / "management" / "commands"
        assert {path.stem for path in folder.glob("[a-z]*.py")} <= set(COMMANDS)


def test_a_method_that_a_route_does_not_know_is_guarded_as_the_first_that_it_does() -> None:
    assert door("promote", "POST") == door("promote", "OPTIONS") == door("promote", "GET")
    assert door("feedback", "HEAD") == door("feedback", "GET") != door("feedback", "POST")
    assert door("no-such-route", "GET") is None
