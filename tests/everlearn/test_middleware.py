"""everlearn/middleware.py and request_id.py."""

import pytest

from tests.factories import LONG, make_champion, make_model, make_user

EVAL = "'unsafe-eval'"


def _policy(answer) -> dict[str, str]:
    directives = (part.split(maxsplit=1) for part in answer["Content-Security-Policy"].split(";"))
    return {name: "".join(value) for name, *value in directives}


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/docs", "/api/nothing/", "/nothing", "/health"])
def test_every_answer_has_a_request_id_of_its_own(client, path):
    first, second = (client.get(path)["X-Request-ID"] for _ in range(2))

    assert first != second
    assert len(first) == 36


@pytest.mark.django_db
def test_a_sane_id_of_the_client_is_kept(client):
    answer = client.get("/docs", headers={"X-Request-ID": "trace-7.a_B"})

    assert answer["X-Request-ID"] == "trace-7.a_B"


@pytest.mark.django_db
@pytest.mark.parametrize("given", ["", "two words", "x" * 129, "<script>", "é"])
def test_any_other_id_is_replaced(client, given):
    answer = client.get("/docs", headers={"X-Request-ID": given})

    assert answer["X-Request-ID"] != given


UNFIT = ["%00", "a%00b", "%ED%A0%80", "%FF"]


@pytest.mark.parametrize("text", UNFIT)
@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("/api/runs/?model={}", "model"),
        ("/api/runs/?a=1&{}=2", None),
        ("/admin/auth/user/?q={}", "q"),
    ],
)
def test_text_that_nobody_could_store_is_refused_in_an_address(client, address, place, text):
    """H2: before a database or a template meets it."""
    answer = client.get(address.format(text))

    (error,) = answer.json()["errors"]
    assert answer.status_code == 400
    assert error["code"] == "invalid_text"
    assert place is None or error["attr"] == place


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/models/{}/", "/models/{}/", "/{}", "/api/models/{}/runs/"])
def test_text_that_nobody_could_store_names_nothing(client, path):
    nul = client.get(path.format("%00"))
    broken = client.get(path.format("%ED%A0%80"))

    assert (nul.status_code, nul.json()["errors"][0]["code"]) == (400, "invalid_text")
    # A page sends visitors to the login, as for a private model.
    assert broken.status_code in (302, 401, 404)


@pytest.mark.parametrize("text", UNFIT)
def test_text_that_nobody_could_store_is_refused_in_a_form(client, text):
    kind = "application/x-www-form-urlencoded"

    answer = client.post(
        "/admin/login/", f"username=ada&password={text}", content_type=kind,
        headers={"Accept": "text/html"},
    )  # fmt: skip

    assert answer.status_code == 400
    assert answer["Content-Type"].startswith("text/html")
    assert answer["X-Request-ID"] in answer.content.decode()


@pytest.mark.django_db
def test_a_session_cookie_with_an_escaped_nul_meets_no_database(client):
    answer = client.get("/admin/", headers={"Cookie": 'sessionid_8000="\\000aaaaaaaa"'})

    assert answer.status_code == 400


@pytest.mark.django_db
def test_other_odd_text_goes_through(client):
    answer = client.get("/api/models/?page_size=5&x=%EF%BF%BE%E2%80%AE%F0%9F%8D%B7+%2B")

    assert answer.status_code == 200


@pytest.mark.django_db
def test_a_forgotten_slash_of_the_api_is_forgiven_to_readers_and_writers(api):
    make_champion()
    asked = {"instances": [LONG]}

    read = api.get("/api/models?page_size=1")
    written = api.post("/api/models/leaves/predict", asked)

    assert read.json()["results"][0]["name"] == "leaves"
    assert written.json()["predictions"][0]["value"] == "oak"
    assert api.delete("/api/models/leaves/predict").status_code == 405
    assert api.get("/api/runs").status_code == 401
    assert api.get("/api/models/leaves.json").status_code == 401
    for path in ("/api", "/api/nothing", "/api/models/leaves/nothing"):
        assert api.post(path, asked).json()["errors"][0]["code"] == "not_found"


@pytest.mark.django_db
def test_with_and_without_the_slash_one_idempotency_key_is_the_same(api):
    make_champion()
    word = {"model": "leaves", "features": LONG, "value": "oak"}

    first, second = (
        api.post(path, word, headers={"Idempotency-Key": "one"})
        for path in ("/api/feedback", "/api/feedback/")
    )

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()


@pytest.mark.django_db
def test_probes_are_answered_whatever_the_host_is_called_and_nothing_else_is(client):
    elsewhere = {"host": "healthcheck.railway.app"}

    assert client.get("/health", headers=elsewhere).status_code == 200
    assert client.get("/ready", headers=elsewhere).status_code == 503
    assert client.get("/metrics", headers=elsewhere).status_code == 200
    for path in ("/", "/docs", "/api/models/", "/health/", "/admin/login/"):
        assert client.get(path, headers=elsewhere).status_code == 400


def test_a_page_of_the_admin_is_found_with_its_slash(client):
    assert client.get("/admin?next=1")["Location"] == "/admin/?next=1"


@pytest.mark.django_db
def test_pages_run_scripts_of_their_own_origin_only(client):
    make_model()

    policy = _policy(client.get("/"))

    assert policy["script-src"] == "'self'"
    assert policy["default-src"] == "'self'"
    assert "unsafe" not in "".join(policy.values())


def test_the_admin_may_evaluate_but_not_inline(client, admin_user):
    client.force_login(admin_user)

    for path in ("/admin/", "/admin/auth/user/"):
        script = _policy(client.get(path))["script-src"]
        assert EVAL in script
        assert "unsafe-inline" not in script
        assert "http" not in script


@pytest.mark.django_db
def test_no_admin_page_holds_an_inline_script_or_another_origin(client):
    client.force_login(make_user(is_staff=True, is_superuser=True))

    page = client.get("/admin/").content.decode()

    assert "<script>" not in page
    assert 'src="http' not in page
    assert 'href="http' not in page


@pytest.mark.django_db
def test_json_needs_no_policy(client):
    assert "Content-Security-Policy" not in client.get("/api/schema/")
