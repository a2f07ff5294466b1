"""quotas.py and usage.py: what each key and each network may use a day, at every door."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from feedback_app.models import Feedback, RememberedAnswer
from models_app import quotas, usage
from models_app.models import Prediction
from models_app.quota import Quota
from models_app.quotas import Consumer
from models_app.refusals import QuotaExceeded
from models_app.strangers import Crowd
from models_app.usage import DailyUsage, QuotaOverride, Tracker, tracker
from tests.factories import LONG, SHORT, make_champion, make_user

pytestmark = pytest.mark.django_db

PREDICT, FEEDBACK = "/api/models/leaves/predict/", "/api/feedback/"
WORD = {"model": "leaves", "features": LONG, "value": "oak"}
NETWORK = "network:192.0.2.7"


def at(address: str) -> APIClient:
    return APIClient(REMOTE_ADDR=address)


def rows(count: int) -> dict[str, Any]:
    return {"instances": [LONG] * count}


def refused(answer: Any) -> str:
    """The detail of a refusal by quota; asserts all that every such refusal has."""
    assert answer.status_code == 429
    error = answer.json()["errors"][0]
    assert error["code"] == "quota_exceeded"
    assert 1 <= int(answer["Retry-After"]) <= 24 * 3600 + 1
    return str(error["detail"])


@pytest.fixture
def few(settings: Any) -> None:
    """Ten rows and three items of feedback a day, for networks and keys alike."""
    make_champion()
    settings.EVERLEARN_ANONYMOUS_QUOTA = settings.EVERLEARN_KEY_QUOTA = Quota(rows=10, feedback=3)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PREDICT, rows(6)),
        ("/predict", rows(6)),
        ("/predict", {"length": [1.0] * 6, "width": [1.0] * 6}),
    ],
    ids=["native", "seed, native body", "seed, columns"],
)
def test_a_request_beyond_the_rows_that_are_left_is_refused_whole(
    path: str, body: dict[str, Any], client_with: Any
) -> None:
    """L5, D6. In every dialect, without a key and with one."""
    for client in (at("192.0.2.7"), client_with("predict")):
        before = Prediction.objects.count()
        assert client.post(path, body).status_code == 200

        told = refused(client.post(path, body))

        assert "10 predicted rows a day, of which 4 are left" in told
        assert Prediction.objects.count() == before + 6
        # What was refused used nothing.
        assert client.post(PREDICT, rows(4)).status_code == 200
        refused(client.post(PREDICT, rows(1)))


@pytest.mark.usefixtures("few")
def test_one_network_that_spent_its_quota_keeps_no_other_from_asking(client_with: Any) -> None:
    assert at("2001:db8:1:2::1").post(PREDICT, rows(10)).status_code == 200

    refused(at("2001:db8:1:2:ffff::9").post(PREDICT, rows(1)))
    refused(at("2001:db8:1:2::1").post("/predict", rows(1)))
    for other in ("2001:db8:1:3::1", "192.0.2.8"):
        assert at(other).post(PREDICT, rows(1)).status_code == 200
    assert client_with("predict").post(PREDICT, rows(1)).status_code == 200


@pytest.mark.usefixtures("few")
def test_the_networks_of_one_subscriber_share_sixteen_quotas() -> None:
    """A subscriber with a /48 has 65,536 networks of its own to ask from."""
    answers = [
        at(f"2001:db8:1:{number:x}::1").post(PREDICT, rows(10)).status_code for number in range(17)
    ]

    assert answers == [200] * 16 + [429]
    assert at("2001:db8:2::1").post(PREDICT, rows(1)).status_code == 200


@pytest.mark.usefixtures("few")
def test_all_networks_together_may_have_a_quota_too(settings: Any, client_with: Any) -> None:
    settings.EVERLEARN_ANONYMOUS_TOTAL = 2
    answers = [at(f"192.0.2.{number}").post(PREDICT, rows(10)) for number in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "All clients without an API key" in refused(answers[-1])
    assert client_with("predict").post(PREDICT, rows(1)).status_code == 200


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("path", [FEEDBACK, "/feedback"])
def test_a_list_beyond_the_feedback_that_is_left_is_refused_whole(
    path: str, client_with: Any
) -> None:
    for client in (at("192.0.2.7"), client_with("feedback")):
        Feedback.objects.all().delete()
        assert client.post(path, [WORD, {"value": 1}, WORD]).status_code == 200

        assert "1 are left" in refused(client.post(path, [WORD, WORD]))

        assert Feedback.objects.count() == 2  # a word that was wrong used nothing either
        assert client.post(path, WORD).status_code == 201
        refused(client.post(path, WORD))


@pytest.mark.usefixtures("few")
def test_the_same_request_sent_again_uses_nothing() -> None:
    client, headers = at("192.0.2.7"), {"Idempotency-Key": "once"}
    answers = [client.post(FEEDBACK, [WORD] * 3, headers=headers) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3


def test_what_is_kept_beside_what_was_sent_counts_as_stored(
    settings: Any, client_with: Any
) -> None:
    """S13: short bodies whose answers, or whose every row, are long."""
    make_champion()
    settings.EVERLEARN_ANONYMOUS_QUOTA = Quota(stored_bytes=20_000)
    wrong: list[Any] = [{}] * 5000
    answer = at("192.0.2.7").post(FEEDBACK, wrong, headers={"Idempotency-Key": "once"})
    assert "stored bytes" in refused(answer)
    assert not RememberedAnswer.objects.exists()

    settings.EVERLEARN_KEY_QUOTA = Quota(stored_bytes=20_000)
    client = client_with("predict")
    refused(client.post(PREDICT, rows(30) | {"subject": "x" * 255}))
    assert not Prediction.objects.exists()
    assert client.post(PREDICT, rows(30)).status_code == 200


@pytest.mark.usefixtures("few")
def test_a_link_counts_for_the_one_who_made_it(client_with: Any) -> None:
    maker = client_with("predict", "feedback")
    told = maker.post(PREDICT, rows(3)).json()["predictions"]
    paths = [f"/api/predictions/{one['id']}/feedback-link/" for one in told]

    links = [maker.post(path, {}).json()["url"] for path in paths]

    refused(maker.post(paths[0], {}))
    for link in links:
        page = Client().post("/f/" + link.partition("/f/")[2], {"value": "elm"})
        assert page.status_code == 200
    assert Feedback.objects.count() == 3
    refused(maker.post(FEEDBACK, WORD))


@pytest.mark.usefixtures("few")
def test_a_page_says_it_in_html() -> None:
    """Where a person asks, and where one says whether it was right."""
    browser = Client(HTTP_ACCEPT="text/html", REMOTE_ADDR="192.0.2.7")
    form = {"feature-length": "9", "feature-width": "1"}
    pages = [browser.post("/models/leaves/", form) for _ in range(11)]

    assert [page.status_code for page in pages] == [200] * 10 + [429]
    token = pages[0].text.partition('name="answer" value="')[2].partition('"')[0]
    words = [browser.post("/models/leaves/feedback/", {"answer": token, "value": "elm"})
             for _ in range(4)]  # fmt: skip
    assert [page.status_code for page in words] == [200] * 3 + [429]
    for page in (pages[-1], words[-1]):
        assert page["Content-Type"].startswith("text/html")
        assert int(page["Retry-After"]) > 0
    assert Prediction.objects.count() == 10


def test_requests_and_stored_bytes_have_quotas_of_their_own(settings: Any) -> None:
    make_champion()
    settings.EVERLEARN_ANONYMOUS_QUOTA = Quota(requests=2)
    client = at("192.0.2.7")
    assert [client.get("/api/models/").status_code for _ in range(3)] == [200, 200, 429]
    assert client.get("/health").status_code == 200

    settings.EVERLEARN_ANONYMOUS_QUOTA = Quota(stored_bytes=6_000)
    client = at("192.0.2.8")
    wordy = WORD | {"comment": "x" * 2000}
    assert client.post(FEEDBACK, [wordy, wordy]).status_code == 200
    assert "6,000 stored bytes" in refused(client.post(FEEDBACK, wordy))
    refused(client.post(PREDICT, rows(5)))
    assert not Prediction.objects.exists()


def test_staff_in_a_browser_are_counted_and_not_limited(settings: Any) -> None:
    make_champion()
    settings.EVERLEARN_KEY_QUOTA = settings.EVERLEARN_ANONYMOUS_QUOTA = Quota(rows=1, requests=1)
    ada, staff = make_user(is_staff=True, is_superuser=True), APIClient()
    staff.force_login(ada)

    for _ in range(3):
        assert staff.post(PREDICT, rows(5)).status_code == 200

    assert tracker.used(f"account:{ada.pk}").rows == 15


@pytest.mark.usefixtures("few")
def test_what_the_model_or_the_database_did_not_answer_used_nothing(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = at("192.0.2.7")
    settings.EVERLEARN_MIN_FREE_DISK = 10**9
    assert client.post(PREDICT, rows(10)).status_code == 503
    settings.EVERLEARN_MIN_FREE_DISK = 0
    monkeypatch.setattr("models_app.serving.MAX_EXPLAINED_ROWS", 1)
    assert client.post(PREDICT, rows(10) | {"explain": True}).status_code == 413
    assert client.post(PREDICT, {"instances": [LONG] * 9 + [{}]}).status_code == 400

    assert client.post(PREDICT, rows(10)).status_code == 200


def test_the_next_day_begins_at_nothing_and_the_header_says_when(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EVERLEARN_ANONYMOUS_QUOTA = Quota(rows=10)
    evening = datetime(2030, 1, 1, 23, 59, 30, tzinfo=UTC)
    monkeypatch.setattr(timezone, "now", lambda: evening)
    someone = Consumer.at("192.0.2.7")
    quotas.take(someone, Quota(rows=10))
    with pytest.raises(QuotaExceeded) as late:
        quotas.take(someone, Quota(rows=1))
    assert late.value.wait == 31

    monkeypatch.setattr(timezone, "now", lambda: evening + timedelta(seconds=31))

    quotas.take(someone, Quota(rows=10))
    tracker.sync()
    assert sorted(DailyUsage.objects.filter(subject=NETWORK).values_list("day", "rows")) == [
        (evening.date(), 10),
        (evening.date() + timedelta(days=1), 10),
    ]


def test_processes_share_what_they_counted_within_a_sync() -> None:
    here, there = Tracker(), Tracker()
    limits = [(NETWORK, Quota(rows=100))]
    for process in (here, there):
        assert process.add(limits, Quota(rows=40)) is None
    # Neither knows of the other yet; now both do.
    here.sync()
    there.sync()
    assert there.used(NETWORK).rows == 80
    assert there.add(limits, Quota(rows=21)) is not None
    assert there.add(limits, Quota(rows=20)) is None
    there.sync()

    assert here.add(limits, Quota(rows=20)) is None
    here.sync()
    assert here.used(NETWORK).rows == 120  # what was sent to each between two looks
    assert here.add(limits, Quota(rows=1)) is not None


def test_a_restart_forgets_nothing() -> None:
    before = Tracker()
    before.add([(NETWORK, Quota())], Quota(rows=40, feedback=2))
    before.sync()

    assert Tracker().used(NETWORK) == Quota(rows=40, feedback=2)


def test_counts_that_could_not_be_written_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Tracker()
    process.add([(NETWORK, Quota())], Quota(rows=40))

    def away(_: object) -> None:
        raise OperationalError("away")

    with monkeypatch.context() as patched:
        patched.setattr(usage, "_write", away)
        process.sync()
    assert process.used(NETWORK).rows == 40
    assert not DailyUsage.objects.exists()

    process.sync()
    process.sync()
    assert DailyUsage.objects.get().rows == process.used(NETWORK).rows == 40


def test_many_networks_fill_neither_the_memory_nor_the_table() -> None:
    process = Tracker(most=50)
    for number in range(500):
        process.add([(f"network:{number}", Quota())], Quota(requests=1, rows=number % 2))

    assert len(process._tallies) <= 50
    process.sync()
    # Those that only asked left no row; all that was predicted is counted.
    assert sum(DailyUsage.objects.values_list("rows", flat=True)) == 250
    assert DailyUsage.objects.count() == 250


def test_many_networks_within_a_minute_share_one_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models_app.strangers.MOST_NETWORKS", 50)
    crowd = Crowd()
    for number in range(500):
        crowd.admit(f"192.0.{number // 250}.{number % 250}")

    assert len(crowd.counts) <= 51


def test_a_key_may_have_a_quota_of_its_own(client_with: Any, settings: Any) -> None:
    make_champion()
    settings.EVERLEARN_KEY_QUOTA = Quota(rows=5)
    client, other = client_with("predict"), client_with("predict")
    assert client.post(PREDICT, rows(5)).status_code == 200
    refused(client.post(PREDICT, rows(1)))
    account = Prediction.objects.latest("pk").client
    assert account is not None

    override = QuotaOverride.objects.create(account=account, rows=8)
    tracker.sync()
    assert client.post(PREDICT, rows(3)).status_code == 200
    refused(client.post(PREDICT, rows(1)))
    refused(other.post(PREDICT, rows(6)))
    override.rows = 0
    override.save()
    tracker.sync()
    assert client.post(PREDICT, rows(500)).status_code == 200


def test_a_prediction_needs_no_query_more_than_without_quotas(client_with: Any) -> None:
    """The hot path: once a client is known, its quota is looked up in memory."""
    make_champion()
    for client in (at("2001:db8::1"), client_with("predict")):
        client.post(PREDICT, rows(1))
        with CaptureQueriesContext(connection) as asked:  # fmt: skip
            client.post(PREDICT, rows(1))
        assert not [one for one in asked.captured_queries if "quota" in one["sql"].lower()]
        assert not [one for one in asked.captured_queries if "dailyusage" in one["sql"].lower()]


def test_counting_costs_microseconds() -> None:
    """Twice on the way to each prediction, of some 500 microseconds."""
    someone, times = Consumer.at("2001:db8::1"), 2000

    def took() -> float:
        began = time.process_time()
        for _ in range(times):
            with quotas.spending(someone, Quota(rows=1, stored_bytes=300)):
                pass
        return (time.process_time() - began) / times

    assert min(took() for _ in range(5)) < 100e-6


def test_without_a_key_nothing_is_stored_once_the_disk_is_almost_full(
    settings: Any, client_with: Any
) -> None:
    """S13. What is left of the disk is for those with a key."""
    make_champion()
    settings.EVERLEARN_MIN_FREE_DISK = 10**9
    client = at("192.0.2.7")
    for path, body in ((PREDICT, rows(1)), ("/predict", rows(1)), (FEEDBACK, WORD)):
        answer = client.post(path, body)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (503, "storage_full")
        assert answer["Retry-After"]
    assert not Prediction.objects.exists()
    assert not Feedback.objects.exists()
    key = client_with("predict", "feedback")
    assert key.post(PREDICT, {"instances": [SHORT]}).status_code == 200
    assert key.post(FEEDBACK, WORD).status_code == 201
