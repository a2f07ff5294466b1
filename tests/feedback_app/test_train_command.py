from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from feedback_app import attempts, retraining
from feedback_app.models import RetrainingRun
from tests.factories import make_champion, make_model
from tests.feedback_app.makers import BEYOND_MLFLOWS, make_running


def train(*arguments: str) -> str:
    out = StringIO()
    call_command("train", *arguments, stdout=out, stderr=out)
    return out.getvalue()


@contextmanager
def working() -> Iterator[None]:
    """Somebody who carries out what is queued, as the worker would."""
    done = threading.Event()

    def work() -> None:
        while not done.wait(0.05):
            for run_id in retraining.runs_to_wake():
                if run := retraining.claim(run_id):
                    attempts.carry_out(run, run.attempts)
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.django_db
def test_a_run_is_queued_as_the_system_user_of_the_command_line() -> None:
    make_model()

    said = train("leaves", "--reason", "try it", "--data", "other.csv", "--promote")

    run = RetrainingRun.objects.get()
    assert said == f"run {run.pk} of leaves is queued.\n"
    assert (run.requested_by.username, run.reason) == ("cli", "try it")
    assert (run.data, run.promote) == (str(Path.cwd() / "other.csv"), True)


@pytest.mark.django_db
def test_what_is_declared_may_be_left_to_train_by_itself(tmp_path: Path) -> None:
    file = tmp_path / "everlearn.toml"
    file.write_text(f'[models.leaves]\ndata = "{make_model("other").data}"\ntarget = "kind"\n')

    call_command("apply", str(file), "--train", "--no-wait", stdout=StringIO())

    run = RetrainingRun.objects.get()
    assert (run.registered_model.name, run.status, run.reason) == ("leaves", "queued", "declared")


@pytest.mark.django_db
@pytest.mark.parametrize("place", ["http://127.1/x.csv", "file:///etc/passwd", "http://a:b@c/"])
def test_a_run_with_data_from_an_address_that_is_not_allowed_is_not_queued(place: str) -> None:
    make_model()

    with pytest.raises(CommandError, match="address is not allowed"):
        train("leaves", "--data", place)

    assert not RetrainingRun.objects.exists()


@pytest.mark.django_db
def test_a_run_that_is_under_way_is_named() -> None:
    run = make_running(make_model())

    assert train("leaves") == f"run {run.pk} of leaves is under way already.\n"


@pytest.mark.django_db
def test_an_unknown_model_is_refused_in_one_line() -> None:
    make_model()

    with pytest.raises(CommandError, match="There is no model 'leavse'; there are: leaves"):
        train("leavse")


@pytest.mark.django_db(transaction=True)
def test_waiting_ends_with_the_verdict() -> None:
    make_champion(turned=True, number=BEYOND_MLFLOWS)

    with working():
        said = train("leaves", "--wait", "--promote")

    run = RetrainingRun.objects.get()
    assert f"leaves v{run.version.number}: PROMOTE" in said if run.version else False
    assert run.registered_model.champion == run.version


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("arguments", "ending"),
    [([], (SystemExit, "3")), (["--data", "/nowhere.csv"], (CommandError, "data_refused"))],
)
def test_the_exit_status_tells_no_from_failed(arguments: list[str], ending: Any) -> None:
    make_champion(number=BEYOND_MLFLOWS)
    kind, text = ending

    with working(), pytest.raises(kind, match=text):
        train("leaves", "--wait", *arguments)
