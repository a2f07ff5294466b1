"""doctor.py and its command: a line for each part, the remedy beside what is broken."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import Client, override_settings
from django.utils import timezone

from everlearn import doctor, keys
from everlearn.doctor import Finding, State
from everlearn.models import ApiKey
from feedback_app.models import Erasure
from models_app import registry
from models_app.actors import system_user
from models_app.following import Follower
from models_app.models import RegistrySync
from models_app.strangers import ignored_forwarding
from tests.factories import make_champion
from tests.fake_github import Answer, FakeGitHub

pytestmark = pytest.mark.django_db


@pytest.fixture
def working_worker() -> None:
    now = timezone.now()
    RegistrySync.objects.create(pk=1, pulse_at=now, started_at=now, finished_at=now)


def findings(part: str) -> list[Finding]:
    return list(doctor.CHECKS[part]())


def states(part: str) -> list[State]:
    return [finding.state for finding in findings(part)]


def test_all_is_well_where_everything_works(working_worker, capsys) -> None:
    make_champion()

    call_command("doctor")

    said = capsys.readouterr().out
    for part in doctor.CHECKS:
        assert f" {part} " in said
    assert "broken" not in said
    assert "1 champions' bundles whole" in said
    assert f"sqlite:///{settings.EVERLEARN_HOME}/mlflow.db" in said


def test_what_is_broken_ends_the_command_with_1_and_has_a_remedy(working_worker, capsys) -> None:
    RegistrySync.objects.update(pulse_at=timezone.now() - timedelta(hours=1))

    with pytest.raises(SystemExit) as ended:
        call_command("doctor")

    assert ended.value.code == 1
    broken = [line for line in capsys.readouterr().out.splitlines() if line.startswith("broken")]
    assert len(broken) == 1
    assert "3600 s ago → make up" in broken[0]


def test_a_worker_that_stopped_talking_to_mlflow_is_a_warning(working_worker) -> None:
    RegistrySync.objects.update(finished_at=timezone.now() - timedelta(minutes=5))

    assert states("worker") == [State.OK, State.WARNING]


def test_a_lost_bundle_is_found_though_this_machine_has_a_copy(tmp_path) -> None:
    version = make_champion()
    place = settings.EVERLEARN_HOME / "storage/bundles" / version.bundle_digest
    file = next(path for path in place.iterdir() if path.name == "smoke.json")
    whole = file.read_bytes()
    try:
        file.write_bytes(whole[:-1])
        cut = findings("storage")
        file.unlink()
        gone = findings("storage")
    finally:
        file.write_bytes(whole)

    assert [finding.state for finding in (*cut, *gone)] == [State.BROKEN] * 2
    assert "leaves v1: bundle_hash_mismatch" in cut[0].said
    assert "leaves v1: bundle_unavailable" in gone[0].said


def test_an_mlflow_that_does_not_answer_is_named_without_its_password(settings) -> None:
    settings.MLFLOW_TRACKING_URI = "http://user:hunter2@127.0.0.1:9"
    registry._client.cache_clear()
    try:
        (finding,) = findings("mlflow")
    finally:
        registry._client.cache_clear()

    assert finding.state is State.BROKEN
    assert "http://127.0.0.1:9" in finding.said
    assert "hunter2" not in str(finding)
    assert "MLFLOW_TRACKING_URI" in finding.remedy


def test_a_disk_that_fills_is_told_before_it_is_full(monkeypatch) -> None:
    said = []
    for free in (doctor.DISK_BROKEN - 1, doctor.DISK_LOW - 1, doctor.DISK_LOW):
        monkeypatch.setattr(
            "shutil.disk_usage", lambda _, free=free: type("U", (), {"free": free, "total": free})
        )
        said += states("disk")

    assert said == [State.BROKEN, State.WARNING, State.OK]


def test_keys_that_end_soon_are_told() -> None:
    keys.create_key("ends", ["read"], actor=system_user("cli"))
    ApiKey.objects.filter(name="ends").update(expiry_date=timezone.now() + timedelta(days=3))

    found = findings("keys")

    assert found[-1].state is State.WARNING
    assert "1 API keys live, 0 expired, 1 expire within 14 days" in found[-1].said


def test_a_secret_key_that_could_be_guessed_or_read_is_told(settings) -> None:
    path = Path(settings.EVERLEARN_HOME) / "secret_key"
    assert states("keys")[0] is State.OK

    path.chmod(0o644)
    readable = findings("keys")[0]
    path.chmod(0o600)
    settings.SECRET_KEY = "changeme"
    weak = findings("keys")[0]

    assert readable.remedy == f"chmod 600 {path}"
    assert "EVERLEARN_SECRET_KEY" in weak.remedy


def test_a_check_that_dies_is_a_finding_and_the_others_are_heard(monkeypatch) -> None:
    def dies():
        raise RuntimeError("no luck with postgres://me:hunter2@db/x\nat all")

    monkeypatch.setattr(doctor, "CHECKS", {"odd": dies, "disk": doctor.CHECKS["disk"]})

    odd, disk = doctor.examine()

    assert (odd.part, odd.state) == ("odd", State.BROKEN)
    assert odd.said == "no luck with postgres://db/x"
    assert disk.part == "disk"


def test_settings_unfit_for_production_are_named_as_warnings_in_development() -> None:
    found = findings("settings")

    named = {finding.said.split()[0] for finding in found if finding.state is State.WARNING}
    assert named == {"EVERLEARN_SECRET_KEY", "EVERLEARN_PUBLIC_URL"}
    assert State.BROKEN not in states("settings")


def test_an_erasure_that_is_not_finished_is_told() -> None:
    assert states("privacy") == [State.OK]

    Erasure.objects.create(
        subject_hash="0" * 64, actor=system_user("cli"), predictions=1, feedback=1
    )

    assert states("privacy") == [State.WARNING]


def test_where_runs_are_trained_is_told_and_whether_that_can_be() -> None:
    assert [finding.said for finding in findings("training")] == ["here, by the worker"]

    for status, state in ((200, State.OK), (404, State.BROKEN), (503, State.WARNING)):
        with FakeGitHub(Answer(status)) as github, override_settings(**github.settings()):
            (finding,) = findings("training")
            assert finding.state is state
            assert "acme/wine" in finding.said
            assert github.dispatched() == []


def test_a_proxy_that_nobody_trusts_is_told_once_requests_come_through_one(
    settings, monkeypatch
) -> None:
    monkeypatch.setattr(ignored_forwarding, "at", None)  # of a request of another test
    process = Follower()
    Client().get("/health")
    process._try_to_say({})
    assert states("proxies") == [State.OK]

    Client().get("/health", headers={"X-Forwarded-For": "198.51.100.5"})
    process._try_to_say({})
    (warned,) = findings("proxies")
    settings.EVERLEARN_TRUSTED_PROXIES = 1
    ignored_forwarding.at = None
    Client().get("/health", headers={"X-Forwarded-For": "198.51.100.5"})

    assert warned.state is State.WARNING
    assert "EVERLEARN_TRUSTED_PROXIES" in warned.remedy
    assert "198.51.100.5" not in str(warned)
    assert ignored_forwarding.at is None
    assert states("proxies") == [State.OK]
