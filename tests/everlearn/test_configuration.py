"""everlearn/configuration.py: the one table of settings."""

import multiprocessing
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from everlearn.configuration import (
    BASE_DIR,
    ConfigurationError,
    read,
    secret_key,
    settings_table,
)

NOWHERE = Path("/nonexistent/.env")


def test_without_a_word_every_setting_has_its_default():
    given = read({}, NOWHERE)

    assert (given.port, given.web_processes, given.durability) == (8000, 2, "process")
    assert given.home == BASE_DIR / "var"
    assert given.models == BASE_DIR / "everlearn.toml"


def test_the_environment_wins_over_the_file(tmp_path):
    dotenv = tmp_path / ".env"
    dotenv.write_text("# a comment\nPORT=8001\nWEB_CONCURRENCY=5\n")

    given = read({"PORT": "8002"}, dotenv)

    assert (given.port, given.web_processes) == (8002, 5)


def test_an_empty_value_means_the_default():
    assert read({"PORT": ""}, NOWHERE).port == 8000


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(ConfigurationError, match=r"EVERLEARN_HOEM .* EVERLEARN_HOME"):
        read({"EVERLEARN_HOEM": "x"}, NOWHERE)


def test_an_unknown_name_in_the_file_is_refused_too(tmp_path):
    dotenv = tmp_path / ".env"
    dotenv.write_text("EVERLEARN_SPEED=11\n")

    with pytest.raises(ConfigurationError, match="EVERLEARN_SPEED"):
        read({}, dotenv)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PORT", "http"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "٨٠٠٠"),
        ("WEB_CONCURRENCY", "-1"),
        ("WEB_CONCURRENCY", "1.5"),
        ("EVERLEARN_RUN_TIMEOUT", "1h"),
        ("EVERLEARN_DURABILITY", "forever"),
        ("EVERLEARN_PUBLIC_URL", "models.example"),
        ("EVERLEARN_PUBLIC_URL", "ftp://models.example"),
        ("EVERLEARN_PUBLIC_URL", "http://models.example:http"),
        ("EVERLEARN_PUBLIC_URL", "https://me:canary@models.example"),
        ("EVERLEARN_PUBLIC_URL", "https://models.example/below"),
        ("HOT_RELOAD_URL", "models.example/reload-model"),
        ("HOT_RELOAD_URL", "https://models.example/"),
        ("HOT_RELOAD_URL", "https://me:canary@models.example/reload-model"),
        ("DATABASE_URL", "mysql://localhost/x"),
        ("DATABASE_URL", "no url at all"),
        ("CACHE_URL", "tape://attic"),
        ("EVERLEARN_TRAINING_BACKEND", "cloud"),
        ("EVERLEARN_GITHUB_REPOSITORY", "acme"),
        ("EVERLEARN_GITHUB_REPOSITORY", "acme/wine/../../user"),
        ("EVERLEARN_GITHUB_REPOSITORY", "https://github.com/acme/wine"),
        ("EVERLEARN_GITHUB_API_URL", "ftp://api.github.com"),
        ("EVERLEARN_GITHUB_API_URL", "https://me:canary@api.github.com"),
        ("EVERLEARN_GITHUB_EVENT", "re train"),
        ("EVERLEARN_GITHUB_EVENT", "x" * 101),
        ("REPO_TOKEN", "ghp_canary\nX-Other: header"),
        ("REPO_TOKEN", "ghp_canarÿ"),
        ("EVERLEARN_STORAGE", "/mnt/bundles"),
        ("EVERLEARN_STORAGE", "s3://"),
        ("EVERLEARN_STORAGE", "s3://key:canary@bucket"),
    ],
)
def test_a_malformed_value_is_refused_by_name(name, text):
    with pytest.raises(ConfigurationError, match=f"^{name} is malformed: [^\n]+$"):
        read({name: text}, NOWHERE)


@pytest.mark.parametrize("missing", ["EVERLEARN_GITHUB_REPOSITORY", "REPO_TOKEN"])
def test_training_on_github_is_refused_without_what_it_needs(missing):
    given = {
        "EVERLEARN_TRAINING_BACKEND": "github",
        "EVERLEARN_GITHUB_REPOSITORY": "acme/wine",
        "REPO_TOKEN": "ghp_canary",
    }
    assert read(given, NOWHERE).training_backend == "github"

    with pytest.raises(ConfigurationError, match=f"^{missing} is needed by [^\n]+=github$"):
        read(given | {missing: ""}, NOWHERE)


def test_a_refusal_does_not_repeat_a_password():
    with pytest.raises(ConfigurationError) as refused:
        read({"DATABASE_URL": "oracle://me:canary@db/x"}, NOWHERE)

    assert "canary" not in str(refused.value)


def test_the_secret_key_is_made_once_and_for_the_owner_alone(tmp_path):
    given = read({"EVERLEARN_HOME": str(tmp_path)}, NOWHERE)

    first = secret_key(given)

    assert secret_key(given) == first
    assert len(first) >= 50
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600


def _key_of(home: str) -> str:
    return secret_key(read({"EVERLEARN_HOME": home}, NOWHERE))


def test_processes_that_start_at_once_agree_on_the_secret_key(tmp_path):
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        keys = pool.map(_key_of, [str(tmp_path)] * 16)

    assert len(set(keys)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


def test_a_given_secret_key_is_not_written_down(tmp_path):
    given = read({"EVERLEARN_HOME": str(tmp_path), "EVERLEARN_SECRET_KEY": "mine"}, NOWHERE)

    assert secret_key(given) == "mine"
    assert not list(tmp_path.iterdir())


def _django_settings(home: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    show = (
        "from everlearn import settings as s; print(s.DATABASES['default'].get('OPTIONS', {})"
        ".get('init_command'), s.Q_CLUSTER['workers'], s.MLFLOW_TRACKING_URI, s.ALLOWED_HOSTS)"
    )
    return subprocess.run(
        [sys.executable, "-c", show],
        cwd=settings.BASE_DIR, env={"EVERLEARN_HOME": str(home), **environ},
        capture_output=True, text=True, check=True,
    )  # fmt: skip


def test_durability_against_loss_of_power_syncs_every_commit(tmp_path):
    assert "synchronous=NORMAL" in _django_settings(tmp_path).stdout
    assert "synchronous=FULL" in _django_settings(tmp_path, EVERLEARN_DURABILITY="power").stdout


def test_the_queue_keeps_a_worker_free_beside_the_runs(tmp_path):
    shown = _django_settings(tmp_path, EVERLEARN_CONCURRENT_RUNS="4").stdout

    assert " 6 " in shown


def test_mlflow_and_hosts_are_taken_from_the_environment(tmp_path):
    shown = _django_settings(
        tmp_path, MLFLOW_TRACKING_URI="http://mlflow:5000", EVERLEARN_ALLOWED_HOSTS="a.example, b"
    ).stdout

    assert "http://mlflow:5000 ['a.example', 'b']" in shown


def test_a_public_address_is_a_host_that_requests_may_use_and_over_https_keeps_cookies_to_it(
    tmp_path,
):
    show = (
        "from everlearn import settings as s; print(s.EVERLEARN_PUBLIC_URL, s.ALLOWED_HOSTS[-1],"
        " s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, s.CSRF_TRUSTED_ORIGINS)"
    )

    def shown(**environ: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", show],
            cwd=settings.BASE_DIR, env={"EVERLEARN_HOME": str(tmp_path), **environ},
            capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip

    assert shown(PORT="8123") == (
        "http://localhost:8123 [::1] False False ['http://localhost:8123']"
    )
    assert shown(EVERLEARN_PUBLIC_URL="https://m.example:8443/") == (
        "https://m.example:8443 m.example True True ['https://m.example:8443']"
    )


PROGRAMS = {
    "manage.py": ["manage.py", "check"],
    "gunicorn": ["-m", "gunicorn", "-c", "gunicorn.conf.py", "everlearn.wsgi"],
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_every_program_stops_with_one_line_that_names_the_setting(program, tmp_path):
    done = subprocess.run(
        [sys.executable, *program],
        cwd=settings.BASE_DIR, env={"EVERLEARN_HOME": str(tmp_path), "EVERLEARN_HOEM": "x"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "everlearn: EVERLEARN_HOEM is not a setting; the nearest is EVERLEARN_HOME"
    ]


def test_every_setting_is_read_by_the_code():
    code = (
        (BASE_DIR / "everlearn/settings.py").read_text()
        + (BASE_DIR / "everlearn/databases.py").read_text()
        + (BASE_DIR / "everlearn/file_storage.py").read_text()
        + (BASE_DIR / "everlearn/logs.py").read_text()
        + (BASE_DIR / "everlearn/configuration.py").read_text()
        + (BASE_DIR / "gunicorn.conf.py").read_text()
    )

    for setting in settings_table():
        assert f"given.{setting.name}" in code or f"configuration.{setting.name}" in code
