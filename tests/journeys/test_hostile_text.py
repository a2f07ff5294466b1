"""W1: text from outside, seen by staff and strangers in a real browser, stays text."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.urls import NoReverseMatch, reverse
from playwright.sync_api import Dialog

from models_app import promotion
from models_app.models import Deployment
from tests.factories import LONG, make_champion, make_model, make_user, make_version
from tests.feedback_app.makers import make_feedback, make_prediction, make_run
from tests.journeys.test_browser import Open, browser, log_in, open_page  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)

HOSTILE = (
    '</script><script>window.hacked=1;alert(1)</script><img src=x onerror="window.hacked=1">'
    "{{7*7}}{% now %}'\"><svg onload=alert(1)> javascript:alert(1)"
)


def _plant() -> None:
    """The text wherever somebody outside, or a client's data, may put it."""
    model = make_model(target=HOSTILE)
    first = make_champion(model)
    prediction = make_prediction(first, subject=HOSTILE, input={HOSTILE: HOSTILE, **LONG})
    make_feedback(
        model, prediction=prediction, comment=HOSTILE, value=HOSTILE, source=HOSTILE,
        features={HOSTILE: HOSTILE}, reasons=[HOSTILE],
    )  # fmt: skip
    make_run(model, reason=HOSTILE, error=HOSTILE, status="failed")
    promotion.promote(
        make_version(model), actor=User.objects.get(username="manager"),
        door=Deployment.Door.API, reason=HOSTILE, override=True,
    )  # fmt: skip


def _admin_pages() -> list[str]:
    pages = [reverse("admin:index")]
    for kind in admin.site._registry:
        name = f"admin:{kind._meta.app_label}_{kind._meta.model_name}"
        row = kind._default_manager.first()
        try:
            pages.append(reverse(f"{name}_changelist"))
            if row is not None:
                pages.append(reverse(f"{name}_change", args=[row.pk]))
        except NoReverseMatch:
            continue
    return pages


def test_hostile_text_runs_nowhere_that_people_look(open_page: Open) -> None:  # noqa: F811
    """W1: neither an element nor a template nor a script comes of it."""
    _plant()
    make_user("boss", is_staff=True, is_superuser=True)
    page = open_page("/models/leaves/")
    dialogs: list[str] = []

    def heard(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", heard)
    page.goto(page.url.replace("/models/leaves/", "/admin/"))
    log_in(page, "boss")
    origin = page.url.split("/admin/")[0]
    seen = 0
    for path in ["/models/leaves/", *_admin_pages()]:
        page.goto(origin + path)
        assert page.evaluate("window.hacked") is None, path
        assert page.locator("img[src='x'], svg[onload]").count() == 0, path
        assert page.locator("a[href^='javascript:']").count() == 0, path
        seen += page.content().count("{{7*7}}")

    assert seen > 3
    assert dialogs == []
