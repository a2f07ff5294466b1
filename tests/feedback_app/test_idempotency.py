"""F1, F2, F3: the same request sent again is carried out once."""

from __future__ import annotations

import json
import signal
import string
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from feedback_app import idempotency, tasks, triggering
from feedback_app.idempotency import Answer, Attempt
from feedback_app.models import Feedback, RememberedAnswer
from tests.conftest import KeyMaker
from tests.factories import LONG, make_champion, make_model
from tests.feedback_app.makers import make_prediction
from tests.instance import wait_for

pytestmark = pytest.mark.django_db

OAK: dict[str, Any] = {"model": "leaves", "features": LONG, "value": "oak"}
PATH = "/api/feedback/"


def send(client: APIClient, body: object = OAK, *, key: str = "k-1", path: str = PATH) -> Any:
    return client.post(path, body, HTTP_IDEMPOTENCY_KEY=key)


@pytest.mark.parametrize("path", [PATH, "/feedback"])
def test_the_same_request_again_gets_the_same_answer_and_makes_no_second_row(
    api: APIClient, path: str
) -> None:
    make_model()

    first, again = send(api, path=path), send(api, path=path)

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.content == first.content
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert Feedback.objects.count() == 1


def test_a_list_is_remembered_whole_with_what_was_wrong_in_it(api: APIClient) -> None:
    make_model()
    body = [OAK, {**OAK, "value": []}]

    first, again = send(api, body), send(api, body)

    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert Feedback.objects.count() == 1


def test_without_a_key_each_request_counts(api: APIClient) -> None:
    make_model()

    assert {api.post(PATH, OAK).status_code for _ in range(2)} == {201}
    assert Feedback.objects.count() == 2
    assert not RememberedAnswer.objects.exists()


def test_a_body_that_says_the_same_in_another_order_is_the_same(api: APIClient) -> None:
    make_model()
    send(api)

    again = api.generic(
        "POST", PATH,
        '{ "value": "oak", "features": {"width": 1.0, "length": 9.0}, "model": "leaves" }',
        "application/json", HTTP_IDEMPOTENCY_KEY="k-1",
    )  # fmt: skip

    assert (again.status_code, Feedback.objects.count()) == (200, 1)


def test_another_body_under_the_same_key_is_refused(api: APIClient) -> None:
    make_model()
    send(api)

    answer = send(api, {**OAK, "value": "elm"})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["code"] == "idempotency_mismatch"
    assert Feedback.objects.count() == 1


def test_the_same_key_of_another_client_or_on_another_route_is_another(
    api: APIClient, client_with: KeyMaker
) -> None:
    """F3. And nobody learns what another was answered."""
    make_model()
    senders = [api, client_with("feedback"), client_with("feedback")]

    answers = [send(one) for one in senders] + [send(api, path="/feedback")]
    answers.append(api.post(PATH, OAK, HTTP_IDEMPOTENCY_KEY="k-1", REMOTE_ADDR="192.0.2.7"))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 5
    other = send(senders[1], {**OAK, "value": "elm"}, key="k-2")
    assert other.status_code == 201


def test_a_refusal_is_not_remembered(api: APIClient) -> None:
    refused = send(api)
    make_model()
    wrong = send(api, {**OAK, "value": None})

    assert (refused.status_code, wrong.status_code) == (401, 400)
    assert not RememberedAnswer.objects.exists()
    assert send(api).status_code == 201


@pytest.mark.parametrize(
    "key", ["", "k" * 256, "k" * 10_240, "two\nlines", "caf\u00e9", "\t", "k\x7f"]
)
def test_a_key_that_is_none_is_refused_and_nothing_stored(api: APIClient, key: str) -> None:
    make_model()

    answer = send(api, key=key)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "invalid_idempotency_key"
    assert not Feedback.objects.exists()


def test_any_printable_ascii_makes_a_key_up_to_255_characters(api: APIClient) -> None:
    make_model()
    every = string.digits + string.ascii_letters + string.punctuation + " "

    assert send(api, key=every).status_code == 201
    assert send(api, key="k" * 255).status_code == 201


def test_after_a_day_a_key_is_new_again_and_the_pulse_forgets_it(api: APIClient) -> None:
    """F3: kept for 24 hours; then the same request is carried out as if it were the first."""
    make_model()
    send(api)
    send(api, key="younger")
    within = timezone.now() - timedelta(hours=23, minutes=59)
    RememberedAnswer.objects.update(at=within)
    assert send(api).status_code == 200

    RememberedAnswer.objects.filter(key="k-1").update(at=within - timedelta(minutes=2))
    assert send(api).status_code == 201
    RememberedAnswer.objects.filter(key="k-1").update(at=within - timedelta(minutes=2))
    tasks.pulse()

    assert [one.key for one in RememberedAnswer.objects.all()] == ["younger"]
    assert Feedback.objects.count() == 3


def test_an_answer_goes_with_the_word_that_it_is_about(api: APIClient) -> None:
    make_model()
    send(api)

    Feedback.objects.all().delete()

    assert not RememberedAnswer.objects.exists()


def test_a_second_word_of_the_same_client_is_not_undone_by_a_retry_of_the_first(
    api: APIClient,
) -> None:
    prediction = make_prediction(make_champion())
    word = {"prediction": str(prediction.pk), "value": "oak"}
    first = send(api, word)
    second = api.post(PATH, {**word, "comment": "quite sure"}).json()["id"]

    assert send(api, word).content == first.content
    standing = Feedback.objects.exclude(status="superseded")
    assert [str(one.pk) for one in standing] == [second]


@pytest.mark.django_db(transaction=True)
def test_while_the_first_is_under_way_the_second_is_told_to_come_back(api: APIClient) -> None:
    """F2: at once, on both databases: nobody waits for a lock."""
    make_model()
    attempt = Attempt.of("k-1", client="address:127.0.0.1", route=PATH, body=OAK)
    begun, end = threading.Event(), threading.Event()

    def slowly() -> Answer:
        begun.set()
        assert end.wait(30)
        return Answer(201, {"id": "first"})

    def carry_out() -> None:
        try:
            idempotency.answer_once(attempt, slowly)
        finally:
            connection.close()

    thread = threading.Thread(target=carry_out)
    thread.start()
    assert begun.wait(30)
    during, other = send(api), send(api, {**OAK, "value": "elm"})
    end.set()
    thread.join()

    for answer in (during, other):
        assert answer.status_code == 409
        assert answer.json()["errors"][0]["code"] == "idempotency_in_progress"
        assert answer.headers["Retry-After"] == "1"
    assert send(api).json() == {"id": "first"}
    assert not Feedback.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_fifty_at_once_one_is_carried_out(key: Any) -> None:
    """F2."""
    make_model()
    header = f"Bearer {key('feedback')}"

    def one(_: int) -> tuple[int, Any]:
        try:
            answer: Any = send(APIClient(headers={"Authorization": header}))
            return answer.status_code, answer.json()
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(50)))

    counted = Counter(status for status, _ in answers)
    assert counted[201] == 1
    assert set(counted) <= {200, 201, 409}
    assert len({body["id"] for status, body in answers if status < 300}) == 1
    assert Feedback.objects.count() == 1


def killed(when: str) -> None:
    """Have a process of its own take the request in, and kill it before the client hears."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.drills.killed_request", when],
        input=json.dumps(OAK), cwd=settings.BASE_DIR, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr


def answered(api: APIClient) -> Any:
    """The answer to the request, once nothing of the killed process holds the key any more."""
    answers: list[Any] = []

    def under_way_no_more() -> bool:
        answers.append(send(api))
        return bool(answers[-1].status_code != 409)

    wait_for(under_way_no_more, 10)
    return answers[-1]


@pytest.mark.django_db(transaction=True)
def test_a_process_killed_between_commit_and_reply_has_the_retry_replayed(api: APIClient) -> None:
    """F1."""
    model = make_model()
    killed("before-reply")

    answer = answered(api)

    word = Feedback.objects.get()
    assert answer.status_code == 200
    assert answer.headers["Idempotent-Replayed"] == "true"
    assert answer.json()["id"] == str(word.pk)
    assert triggering.feedback_since_last_snapshot(model) == 1


@pytest.mark.django_db(transaction=True)
def test_a_process_killed_before_the_commit_leaves_nothing_and_no_lock(api: APIClient) -> None:
    """F1."""
    make_model()
    killed("before-commit")
    assert not Feedback.objects.exists()

    answer = answered(api)

    assert answer.status_code == 201
    assert Feedback.objects.count() == 1
