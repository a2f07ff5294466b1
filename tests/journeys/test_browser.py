"""What people see and do in a real browser; needs Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from feedback_app.models import Feedback, RetrainingRun
from models_app.models import Deployment, Prediction
from tests.factories import make_champion, make_model, make_user, make_version
from tests.feedback_app.declared import serve
from tests.feedback_app.test_pages_of_tables import SAID, orders
from tests.models_app.test_wide_pages import make_genes

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip
PHONE = {"width": 375, "height": 740}

pytestmark = pytest.mark.django_db(transaction=True)

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser(django_db_setup: None) -> Iterator[Browser]:
    """The system's Chromium, or else the one that Playwright brought."""
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright's event loop runs in this thread, where nobody waits for the tests' queries.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        path = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, live_server: LiveServer) -> Iterator[Open]:
    """open_page(path, …) opens it; afterwards nothing may have complained or left the origin."""
    complaints: list[str] = []
    contexts = []

    def watch(page: Page) -> Page:
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda line: (
                complaints.append(line.text) if line.type in ("error", "warning") else None
            ),
        )
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((live_server.url, "data:"))
                else complaints.append(request.url)
            ),
        )
        return page

    def open_(path: str, **options: object) -> Page:
        context = browser.new_context(base_url=live_server.url, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = watch(context.new_page())
        page.goto(path)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


def log_in(page: Page, username: str) -> None:
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill("secret")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/login/" not in url)


def test_a_stranger_asks_and_says_what_was_right_with_a_keyboard_and_no_script(
    open_page: Open,
) -> None:
    make_champion()
    page = open_page("/", java_script_enabled=False, viewport=PHONE)

    page.get_by_role("link", name="leaves").press("Enter")
    page.get_by_label("length").fill("9")
    page.get_by_label("width").fill("1")
    page.get_by_label("width").press("Enter")

    expect(page.locator("#answer")).to_contain_text("oak")
    expect(page.locator("#answer")).to_be_in_viewport()
    page.get_by_label("No, the right answer is").select_option("elm")
    page.get_by_label("Comment").fill("I planted it")
    page.get_by_role("button", name="Send the right answer").press("Enter")

    expect(page.get_by_role("status")).to_contain_text("Thank you")
    feedback = Feedback.objects.get()
    assert (feedback.value, feedback.prediction) == ("elm", Prediction.objects.get())


def test_staff_log_in_for_a_private_model_and_are_brought_back_to_it(open_page: Open) -> None:
    make_champion(make_model(public=False))
    make_user("vera", groups=("viewer",), is_staff=True)
    page = open_page("/models/leaves/")

    page.get_by_label("Username").fill("vera")
    page.get_by_label("Password").fill("secret")
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="leaves")).to_be_visible()
    page.get_by_label("length").fill("1")
    page.get_by_label("width").fill("1")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("#answer")).to_contain_text("elm")


def test_a_manager_trains_promotes_and_rolls_back(open_page: Open) -> None:
    model = make_champion(metrics={"balanced_accuracy": 0.9}).registered_model
    make_version(model, turned=True, metrics={"balanced_accuracy": 0.95})
    make_user("max", groups=("manager",), is_staff=True)
    page = open_page("/admin/models_app/registeredmodel/")
    log_in(page, "max")

    page.get_by_role("link", name="leaves", exact=True).first.click()
    page.get_by_role("link", name="Train now").click()
    page.get_by_label("Reason").fill("New season")
    page.get_by_role("button", name="Train now").click()
    expect(page.get_by_text("Queued run")).to_be_visible()

    page.goto("/admin/models_app/modelversion/")
    page.get_by_role("link", name="leaves v2").click()
    page.get_by_role("link", name="Promote").click()
    expect(page.get_by_text("+0.05")).to_be_visible()
    page.get_by_label("Reason").fill("Better on unseen rows")
    page.get_by_role("button", name="Promote version 2").click()
    expect(page.get_by_text("leaves v2 serves, as generation 2.")).to_be_visible()

    page.goto(f"/admin/models_app/registeredmodel/{model.pk}/change/")
    page.get_by_role("link", name="Roll back").click()
    page.get_by_label("Reason").fill("It takes oaks for elms")
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_text("leaves v1 serves again, as generation 3.")).to_be_visible()

    assert RetrainingRun.objects.get().reason == "New season"
    lines = Deployment.objects.order_by("generation").values_list("version__number", "action")
    assert list(lines) == [(1, "promote"), (2, "promote"), (1, "rollback")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_a_phone(open_page: Open, scheme: str) -> None:
    version = make_champion(
        metrics={"balanced_accuracy": 0.9}, code_revision="f" * 40, mlflow_run_id="0" * 32
    )
    make_user("vera", groups=("viewer",), is_staff=True)
    page = open_page("/models/leaves/", viewport=PHONE, color_scheme=scheme)

    def fits() -> bool:
        page.wait_for_load_state()
        return bool(page.evaluate(FITS))

    assert fits()
    page.goto("/")
    assert fits()
    page.goto("/admin/")
    log_in(page, "vera")
    for path in (
        "modelversion/", f"modelversion/{version.pk}/change/", "registeredmodel/",
        f"registeredmodel/{version.registered_model_id}/change/", "deployment/",
    ):  # fmt: skip
        page.goto(f"/admin/models_app/{path}")
        assert fits(), path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_ground(open_page: Open, scheme: str) -> None:
    """WCAG 2.2 AA asks for 4.5 to 1."""
    make_champion()
    page = open_page("/models/leaves/", color_scheme=scheme, java_script_enabled=True)
    page.get_by_label("length").fill("9")
    page.get_by_label("width").fill("1")
    page.get_by_role("button", name="Ask").click()

    weak = page.evaluate(CONTRAST)

    assert weak == []


@pytest.mark.parametrize(
    ("scheme", "ground"), [("light", "rgba(0, 0, 0, 0)"), ("dark", "rgb(28, 32, 34)")]
)
def test_the_description_of_the_api_is_dark_in_the_dark(
    open_page: Open, scheme: str, ground: str
) -> None:
    page = open_page("/docs", color_scheme=scheme, java_script_enabled=True)

    expect(page.locator("html")).to_have_css("background-color", ground)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_table_with_conventions_of_its_own_is_asked_about_on_a_phone(
    open_page: Open, scheme: str
) -> None:
    model = serve(orders(), SAID)
    page = open_page("/models/model/", viewport=PHONE, color_scheme=scheme)

    page.get_by_label("Tag").fill("15.06.2024")
    page.get_by_label("Menge in kg").fill("9,25")
    page.get_by_label("Postleitzahl").select_option("02116")
    page.get_by_label("Stammkunde").select_option("ja")
    page.get_by_role("button", name="Ask").click()

    expect(page.locator("#answer .value")).to_have_text("070")
    assert page.evaluate(FITS)
    assert page.evaluate(CONTRAST) == []
    make_user("vera", groups=("viewer",), is_staff=True)
    page.goto("/admin/")
    log_in(page, "vera")
    page.goto(f"/admin/models_app/registeredmodel/{model.pk}/change/")
    expect(page.get_by_text("named in ignore")).to_be_visible()
    assert page.evaluate(FITS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_form_of_1200_fields_is_filled_in_and_answered(open_page: Open, scheme: str) -> None:
    make_genes(1200)
    page = open_page("/models/genes/", viewport=PHONE, color_scheme=scheme)

    assert page.evaluate(FITS)
    page.evaluate("document.querySelectorAll('main input').forEach(one => one.value ||= '0.25')")
    page.get_by_role("button", name="Ask").click()

    expect(page.locator("#answer .value")).to_be_in_viewport()
    assert page.evaluate(FITS)


FITS = "document.documentElement.scrollWidth <= innerWidth"
CONTRAST = """
() => {
  const parts = colour => colour.match(/[0-9.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = node => {
    for (; node; node = node.parentElement) {
      const colour = parts(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll('body *')]
    .filter(node => [...node.childNodes].some(c => c.nodeType === 3 && c.data.trim()))
    .map(node => {
      const [a, b] = [light(parts(getComputedStyle(node).color)), light(ground(node))];
      return [node.className || node.tagName, (Math.max(a, b) + .05) / (Math.min(a, b) + .05)];
    })
    .filter(([, ratio]) => ratio < 4.5);
}
"""
