from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from django.db import connection

from models_app import following, serving
from models_app.following import Follower
from models_app.models import RegisteredModel, WebProcess
from models_app.refusals import NotReady
from tests.factories import LONG, make_champion, make_model, make_version

UNKNOWN_DIGEST = "0" * 64


def eventually(true: Callable[[], bool], *, within: float = 5.0) -> bool:
    give_up = time.monotonic() + within
    while time.monotonic() < give_up:
        if true():
            return True
        time.sleep(0.01)
    return False


def generation(follower: Follower) -> int:
    return follower.served()["leaves"].generation


@pytest.mark.django_db
class TestOneLook:
    def test_a_model_serves_nothing_until_something_is_promoted(self) -> None:
        make_version(make_model())
        follower = Follower()

        served = follower.served()["leaves"]

        assert (served.bundle, served.generation, served.public) == (None, 0, True)
        assert follower.degraded() == []

    def test_an_unchanged_champion_is_not_loaded_again(self) -> None:
        make_champion()
        follower = Follower()

        assert follower.served()["leaves"].bundle is follower.served()["leaves"].bundle

    def test_a_changed_policy_is_seen_without_a_promotion(self) -> None:
        model = make_model()
        make_champion(model)
        follower = Follower()
        assert follower.served()["leaves"].public

        RegisteredModel.objects.update(public=False)

        assert not follower.served()["leaves"].public

    def test_a_bundle_that_cannot_be_loaded_leaves_the_old_one_serving(self) -> None:
        model = make_model()
        make_champion(model)
        follower = Follower()
        follower.look()
        broken = make_version(model, bundle_digest=UNKNOWN_DIGEST)
        RegisteredModel.objects.update(champion=broken, generation=2)

        served = follower.served()["leaves"]

        assert (served.number, served.generation) == (1, 1)
        assert served.bundle is not None
        assert follower.degraded() == ["reload_failed"]

    def test_what_failed_is_forgotten_once_something_that_loads_is_promoted(self) -> None:
        model = make_model()
        first = make_champion(model)
        follower = Follower()
        broken = make_version(model, bundle_digest=UNKNOWN_DIGEST)
        RegisteredModel.objects.update(champion=broken, generation=2)
        follower.look()
        assert follower.degraded()

        RegisteredModel.objects.update(champion=first, generation=3)

        assert generation(follower) == 3
        assert follower.degraded() == []

    def test_a_process_that_never_loaded_anything_is_not_ready(self) -> None:
        broken = make_version(make_model(), bundle_digest=UNKNOWN_DIGEST)
        RegisteredModel.objects.update(champion=broken, generation=1)
        follower = Follower()

        assert follower.served()["leaves"].bundle is None
        assert len(follower.degraded()) == 1

    def test_the_last_three_versions_stay_loaded(self) -> None:
        model = make_model()
        first = make_champion(model)
        follower = Follower()
        bundle = follower.served()["leaves"].bundle
        make_champion(model, turned=True)
        follower.look()

        RegisteredModel.objects.update(champion=first, generation=3)

        assert follower.served()["leaves"].bundle is bundle

    def test_a_retired_model_is_no_longer_served(self) -> None:
        model = make_model()
        make_champion(model)
        follower = Follower()
        assert "leaves" in follower.served()

        RegisteredModel.objects.update(retired_at=model.created_at)

        assert "leaves" not in follower.served()


@pytest.fixture
def follower() -> Iterator[Follower]:
    """Another process's follower, its thread running."""
    running = Follower()
    running.start()
    yield running
    running.stop()


def answered_by(answers: list[tuple[int, int, str]], number: int) -> bool:
    return bool(answers) and answers[-1][1] == number


@pytest.mark.django_db(transaction=True)
class TestTheThread:
    def test_a_promotion_is_served_within_a_second(self, follower: Follower) -> None:
        model = make_model()
        make_champion(model)

        assert eventually(lambda: "leaves" in follower.served() and generation(follower) == 1)
        make_champion(model, turned=True)
        started = time.monotonic()
        assert eventually(lambda: generation(follower) == 2)
        assert time.monotonic() - started < 1

    def test_it_says_what_it_has_loaded_and_leaves_when_it_stops(self, follower: Follower) -> None:
        make_champion()

        assert eventually(
            lambda: any(
                row.generations.get("leaves", {}).get("generation") == 1
                for row in WebProcess.objects.filter(pid=os.getpid())
            )
        )
        follower.stop()
        assert not WebProcess.objects.exists()

    def test_a_thread_that_is_slow_to_notice_ends_all_the_same(
        self, follower: Follower, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        busy, go_on, thread = threading.Event(), threading.Event(), follower._thread

        def look() -> None:
            busy.set()
            go_on.wait(30)

        monkeypatch.setattr(follower, "look", look)
        assert thread
        assert busy.wait(30)

        follower.stop()
        assert thread.is_alive()
        go_on.set()

        thread.join(30)
        assert not thread.is_alive()

    def test_it_survives_a_database_that_is_away(self, follower: Follower) -> None:
        make_champion()
        assert eventually(lambda: "leaves" in follower.served() and generation(follower) == 1)
        table, away = RegisteredModel._meta.db_table, "models_app_away"

        with connection.cursor() as cursor:
            cursor.execute(f'ALTER TABLE "{table}" RENAME TO "{away}"')
        try:
            assert eventually(lambda: "database" in follower.degraded())
            assert generation(follower) == 1
            assert not follower.ready()
        finally:
            with connection.cursor() as cursor:
                cursor.execute(f'ALTER TABLE "{away}" RENAME TO "{table}"')

        assert eventually(lambda: follower.degraded() == [])
        assert follower.ready()

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_a_thread_that_died_makes_the_process_unready_until_it_is_started_again(
        self, follower: Follower
    ) -> None:
        """L4."""
        make_champion()
        assert eventually(follower.ready)
        died = follower._thread
        assert died

        def end() -> bool:
            # Raised in that thread at its next instruction; nothing in it catches this. Only the
            # driver of PostgreSQL drops it, when it comes within a query.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(died.ident or 0), ctypes.py_object(SystemExit)
            )
            return eventually(lambda: not died.is_alive(), within=2.0)

        assert any(end() for _ in range(3))

        assert not follower.ready()

        assert eventually(follower.ready)
        make_champion(turned=True)
        assert eventually(lambda: generation(follower) == 2)

    def test_a_process_that_could_not_read_anything_yet_says_so(self) -> None:
        make_champion()
        table, away = RegisteredModel._meta.db_table, "models_app_away"
        with connection.cursor() as cursor:
            cursor.execute(f'ALTER TABLE "{table}" RENAME TO "{away}"')
        starting = Follower()
        try:
            starting.start()
            with pytest.raises(NotReady):
                starting.served()
            assert not starting.ready()
        finally:
            with connection.cursor() as cursor:
                cursor.execute(f'ALTER TABLE "{away}" RENAME TO "{table}"')
        try:
            assert eventually(starting.ready)
        finally:
            starting.stop()

    def test_no_request_fails_while_versions_change(self) -> None:
        model = make_model()
        make_champion(model)
        following.start()
        answers: list[tuple[int, int, str]] = []
        failures: list[Exception] = []
        stop = threading.Event()

        def ask() -> None:
            try:
                while not stop.is_set():
                    answered = serving.predict("leaves", [LONG], client=None)
                    value = answered.predictions[0]["value"]
                    answers.append((answered.generation, answered.version, value))
            except Exception as error:  # noqa: BLE001
                failures.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=ask) for _ in range(2)]
        try:
            for thread in threads:
                thread.start()
            for turned in (True, False, True):
                version = make_champion(model, turned=turned)
                assert eventually(partial(answered_by, answers, version.number))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
            following.stop()

        assert failures == []
        expected = {1: "oak", 2: "elm", 3: "oak", 4: "elm"}
        assert all(value == expected[version] for _, version, value in answers)
        assert all(generation == version for generation, version, _ in answers)
