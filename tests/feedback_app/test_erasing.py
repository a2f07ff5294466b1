"""erasing.py and exporting.py: V1 and V2, what is known of a person is given, and goes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from everlearn.keys import create_key
from feedback_app import erasing, exporting, links, parquet, reviewing, snapshots
from feedback_app.models import Erasure, Feedback, RememberedAnswer
from models_app.actors import system_user
from models_app.models import ModelVersion, Prediction
from models_app.refusals import Gone, NotFound, Unavailable
from tests.factories import LONG, leaves, make_champion
from tests.feedback_app.makers import make_feedback, make_prediction, make_running

NONE = timedelta(0)
ADA = {"length": 9.125, "width": 3.0625}
CANARY = "ada-canary-7f3"


@pytest.fixture
def champion(db: None) -> ModelVersion:
    return make_champion()


@pytest.fixture
def cli(db: None) -> User:
    return system_user("cli")


def _about_ada(version: ModelVersion, **fields: Any) -> tuple[Prediction, Feedback]:
    """A prediction about ada and what was said of it, answered under an idempotency key."""
    prediction = make_prediction(version, **{"subject": CANARY, "input": ADA, **fields})
    word = make_feedback(
        version.registered_model, prediction=prediction, features=ADA, value="elm",
        comment=f"says {CANARY}", source=f"address:{CANARY}",
    )  # fmt: skip
    RememberedAnswer.objects.create(
        client="x", route="feedback", key=str(word.pk), digest="", feedback=word,
        body=json.dumps({"features": ADA, "comment": CANARY}),
    )  # fmt: skip
    return prediction, word


def _freeze(version: ModelVersion):
    model = version.registered_model
    return snapshots.freeze(model, base=leaves(), up_to=timezone.now())


def _everything() -> str:
    """All rows of all tables as text."""
    with connection.cursor() as cursor:
        said = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - our own tables
            said += [str(row) for row in cursor.fetchall()]
    return "\n".join(said)


def _database_files() -> bytes:
    """What stands in SQLite's files, free pages and log included."""
    return b"".join(path.read_bytes() for path in settings.EVERLEARN_HOME.glob("db.sqlite3*"))


def test_nothing_of_a_forgotten_person_stays_and_counts_do(champion, cli) -> None:
    """V1."""
    prediction, word = _about_ada(champion)
    other = make_prediction(champion, subject="bob")
    reviewing.review(word, actor=cli, decision="reject", reason=f"{CANARY} was wrong")
    counts = Prediction.objects.count(), Feedback.objects.count()
    assert CANARY in _everything()

    (erasure,) = erasing.forget(CANARY, actor=cli, patience=NONE)

    said = _everything()
    assert CANARY not in said
    assert "9.125" not in said
    assert (Prediction.objects.count(), Feedback.objects.count()) == counts
    prediction.refresh_from_db()
    assert (prediction.input, prediction.probabilities, prediction.subject) == ({}, None, "")
    assert not RememberedAnswer.objects.exists()
    assert (erasure.predictions, erasure.feedback, erasure.actor) == (1, 1, cli)
    assert (erasure.pending, erasure.finished_at is None) == ({}, False)
    other.refresh_from_db()
    assert (other.subject, other.input) == ("bob", LONG)


def test_the_address_of_a_forgotten_person_leaves_what_is_said_of_sources(champion, cli) -> None:
    """V1."""
    _about_ada(champion)
    snapshot = _freeze(champion)
    before = snapshot.sources
    assert before[0]["source"] == f"address:{CANARY}"

    erasing.forget(CANARY, actor=cli, patience=NONE)

    snapshot.refresh_from_db()
    assert snapshot.sources == [{**before[0], "source": "forgotten"}]


def test_its_rows_leave_stored_snapshots_and_nobody_elses(champion, cli) -> None:
    """V1."""
    _about_ada(champion)
    shared = {"length": 8.5, "width": 1.25}
    _about_ada(champion, input=shared)
    Feedback.objects.filter(prediction__input=shared).update(features=shared)
    make_feedback(champion.registered_model, features=shared, value="elm")
    snapshot = _freeze(champion)
    table = f"snapshots/{snapshot.digest}.parquet"
    before = parquet.read_table(table)
    assert ADA["length"] in set(before["length"])

    erasing.forget(CANARY, actor=cli, patience=NONE)

    after = parquet.read_table(table)
    snapshot.refresh_from_db()
    assert set(before["length"]) - set(after["length"]) == {ADA["length"]}
    assert snapshot.redacted_at is not None
    assert [name for name in default_storage.listdir("snapshots")[1] if "partial" in name] == []
    assert ADA["length"] not in set(parquet.read_table(
        f"snapshots/{_freeze(champion).digest}.parquet")["length"])  # fmt: skip


def test_a_forgotten_prediction_is_gone_for_whoever_asks(
    champion, cli, client, client_with
) -> None:
    prediction, word = _about_ada(champion)
    link = links.make_link(prediction.pk, actor=cli)
    assert client.get(urlsplit(link.url).path).status_code == 200
    erasing.forget(CANARY, actor=cli, patience=NONE)

    asked = client_with("read").get(f"/api/predictions/{prediction.pk}/")
    said = client_with("feedback", "read").post(
        "/api/feedback/", {"prediction": str(prediction.pk), "value": "oak"}
    )

    assert (asked.status_code, asked.json()["errors"][0]["code"]) == (410, "gone")
    assert (said.status_code, said.json()["errors"][0]["code"]) == (410, "gone")
    assert client.get(urlsplit(link.url).path).status_code == 410
    with pytest.raises(Gone):
        links.make_link(prediction.pk, actor=cli)
    with pytest.raises(Gone):
        reviewing.review(word, actor=cli, decision="accept", reason="x")


def test_of_a_subject_that_two_clients_share_only_the_named_ones_goes(champion, cli) -> None:
    """V2."""
    for name in ("one", "two"):
        create_key(name, ["predict"], actor=cli)
        _about_ada(champion, client=User.objects.get(username=f"key-{name}"))

    only = json.loads("".join(exporting.export(CANARY, actor=cli, client="one")))
    erasing.forget(CANARY, actor=cli, client="one", patience=NONE)

    left = json.loads("".join(exporting.export(CANARY, actor=cli)))
    assert [row["client"] for row in only["predictions"]] == ["key-one"]
    assert [row["client"] for row in left["predictions"]] == ["key-two"]
    with pytest.raises(NotFound, match="There is no client 'three'"):
        erasing.forget(CANARY, actor=cli, client="three", patience=NONE)


def test_an_export_is_complete(champion, cli, tmp_path) -> None:
    """V2."""
    prediction, word = _about_ada(champion)
    make_prediction(champion, subject="bob")
    snapshot = _freeze(champion)

    call_command("export_subject", "--subject", CANARY, "--out", str(tmp_path / "ada.json"))

    told = json.loads((tmp_path / "ada.json").read_text())
    (row,) = told["predictions"]
    assert (told["subject"], row["id"], row["input"]) == (CANARY, str(prediction.pk), ADA)
    assert row["feedback"][0]["id"] == str(word.pk)
    assert row["feedback"][0]["comment"] == f"says {CANARY}"
    assert row["feedback"][0]["snapshots"] == [snapshot.digest]
    assert (tmp_path / "ada.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("command", ["forget", "export_subject"])
@pytest.mark.parametrize("subject", ["nobody", ""])
def test_of_an_unknown_subject_nothing_is_known(champion, command, subject) -> None:
    """V2."""
    make_prediction(champion)  # without a subject

    with pytest.raises(CommandError, match="Nothing is known of"):
        call_command(command, "--subject", subject)

    assert not Erasure.objects.exists()


def test_a_run_that_may_hold_the_rows_keeps_it_from_being_done(champion, cli) -> None:
    """V1, V2."""
    _about_ada(champion)
    run = make_running(champion.registered_model)

    with pytest.raises(Unavailable, match="may hold rows of it"):
        erasing.forget(CANARY, actor=cli, patience=NONE)

    assert CANARY not in _everything()
    assert Erasure.objects.get().finished_at is None
    snapshot = _freeze(champion)  # what that run read before
    run.delete()
    (erasure,) = erasing.forget(CANARY, actor=cli, patience=NONE)
    assert erasure.finished_at is not None
    assert snapshot.pk


KILLED = """
import os, signal, sys
from feedback_app import {module}
def die(*args, **kwargs): os.kill(os.getpid(), signal.SIGKILL)
{module}.{step} = die
from django.core.management import call_command
call_command({command})
"""


def _killed(module: str, step: str, *command: str) -> None:
    """Run a command that is killed when it comes to a step."""
    script = KILLED.format(module=module, step=step, command=", ".join(map(repr, command)))
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-v0", "-c", script],
        cwd=settings.BASE_DIR, env=os.environ, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.django_db(transaction=True)
def test_an_erasure_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """V2."""
    champion = make_champion()
    _about_ada(champion)
    snapshot = _freeze(champion)

    if connection.vendor == "sqlite":
        assert CANARY.encode() in _database_files()
    _killed("erasing", "Erasure.objects.create", "forget", "--subject", CANARY)
    assert not Erasure.objects.exists()
    assert Prediction.objects.filter(subject=CANARY).exists()

    _killed("erasing", "_redact", "forget", "--subject", CANARY)
    assert CANARY not in _everything()
    assert Erasure.objects.get().finished_at is None
    table = f"snapshots/{snapshot.digest}.parquet"
    assert ADA["length"] in set(parquet.read_table(table)["length"])

    call_command("forget", "--subject", CANARY)
    assert CANARY.encode() not in _database_files()
    assert Erasure.objects.get().finished_at is not None
    assert ADA["length"] not in set(parquet.read_table(table)["length"])
    with pytest.raises(CommandError, match="Nothing is known of"):
        call_command("forget", "--subject", CANARY)


@pytest.mark.django_db(transaction=True)
def test_an_export_that_is_killed_leaves_no_half_of_it(tmp_path: Path) -> None:
    """V2."""
    _about_ada(make_champion())
    command = ("export_subject", "--subject", CANARY, "--out", str(tmp_path / "ada.json"))

    _killed("exporting", "_rows", *command)
    assert not (tmp_path / "ada.json").exists()

    call_command(*command)
    assert json.loads((tmp_path / "ada.json").read_text())["subject"] == CANARY
