"""Whatever makes a run fail, people read a sentence and what to do."""

from __future__ import annotations

import errno
import re
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path

import pytest
from django.conf import LazySettings, settings
from django.core.files.storage import default_storage
from django.db import OperationalError

from feedback_app import failures, retraining, run_errors
from feedback_app.attempts import carry_out
from feedback_app.models import RetrainingRun
from models_app.models import RegisteredModel
from models_app.registry import RegistryAway
from tests import data_server
from tests.factories import leaves, make_model, make_user
from tests.feedback_app.makers import make_run

PYTHON = re.compile(
    r"\w(?:Error|Exception|Warning)\b|Traceback|<\w+ |\bdtype\(|\barray\(|at 0x|\n|\w\(\w+="
)


def plain(text: str) -> bool:
    code, _, sentence = text.partition(": ")
    tidy = not PYTHON.search(text) and str(settings.EVERLEARN_HOME) not in text
    return tidy and code.isidentifier() and sentence.endswith(".")


LIBRARY = (
    "n_splits=5 cannot be greater than the number of members in each class.",
    "The least populated class in y has only 1 member, which is too few.",
    "Input X contains infinity or a value too large for dtype('float64').",
    "Input contains NaN.",
    "Found array with 0 feature(s) (shape=(96, 0)) while a minimum of 1 is required.",
    "could not broadcast input array from shape (3,) into shape (2,)",
    "<class 'numpy.ndarray'> is not supported",
    "Negative values in data passed to MultinomialNB (input X)",
    "SVC(kernel='x').fit failed with ValueError('bad')",
    "",
)


def raised(error: Exception, within: str) -> Exception:
    """The error as if the module `within` had raised it."""
    with suppress(type(error)):
        exec("raise error", {"__name__": within, "error": error})  # noqa: S102
    return error


@pytest.mark.parametrize("said", LIBRARY)
def test_what_a_library_says_becomes_a_sentence_with_a_remedy(said: str) -> None:
    told = failures.told(raised(ValueError(said), "sklearn.base"), estimator="logistic")

    assert plain(told)
    assert "choose another estimator" in told or "Give" in told


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyError("width"), "training_failed"),
        (TypeError("unhashable type: 'list'"), "training_failed"),
        (IndexError("index 3 is out of bounds"), "training_failed"),
        (ZeroDivisionError("division by zero"), "training_failed"),
        (FileNotFoundError(2, "No such file or directory", "/x/golden/.parquet"),
         "storage_missing"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), "storage_failed"),
        (PermissionError(13, "Permission denied", "/x/y"), "storage_failed"),
        (OSError(), "storage_failed"),
        (OperationalError("connection to server at 127.0.0.1 failed"), "storage_unavailable"),
        (RegistryAway("MLflow at sqlite:////x/y/mlflow.db: (sqlite3.OperationalError) locked"),
         "registry_away"),
        (RegistryAway("MLflow at http://h:1: API request failed with exception "
                      "HTTPConnectionPool(host='h', port=1): Max retries exceeded"),
         "registry_away"),
    ],
)  # fmt: skip
def test_no_error_of_python_or_a_service_shows_itself(error: Exception, code: str) -> None:
    told = failures.told(raised(error, "pandas.core"))

    assert told.startswith(f"{code}: ")
    assert not PYTHON.search(told)
    assert "/x" not in told


def test_our_own_sentence_is_kept_without_the_folder() -> None:
    error = raised(
        ValueError("/srv/data/leaves.csv: column 'IOError' is no number"), "models_app.x"
    )

    assert failures.told(error) == "training_failed: leaves.csv: column 'IOError' is no number"


def trained(model: RegisteredModel) -> RetrainingRun:
    run = retraining.claim(make_run(model).pk)
    assert run
    carry_out(run, run.attempts)
    run.refresh_from_db()
    return run


@pytest.mark.django_db
@pytest.mark.parametrize(
    "estimator",
    [
        "sklearn.linear_model.LogisticRegressionCV",
        "tests.estimators.by_folds",
        "tests.estimators.without_zeros",
        "tests.estimators.broken",
    ],
)
def test_an_estimator_that_refuses_the_rows_ends_the_run_at_once(estimator: str) -> None:
    table = leaves().assign(kind=["ash", "elm", "oak", *["oak", "elm"] * 58, "oak"])
    path = settings.EVERLEARN_HOME / "rare.csv"
    table.to_csv(path, index=False)
    run = trained(make_model(data=str(path), estimator=estimator))

    if run.status == "failed":
        assert plain(run.error), run.error
        assert run.attempts == 1
        return
    assert run.version


@pytest.mark.django_db
def test_a_snapshot_that_is_gone_ends_the_run_at_once_and_names_no_path() -> None:
    model = make_model()
    assert trained(model).version
    model.refresh_from_db()
    for name in default_storage.listdir("snapshots")[1]:
        default_storage.delete(f"snapshots/{name}")

    run = trained(model)

    assert (run.status, run.attempts) == ("failed", 1)
    assert run.error.startswith("storage_missing: ")
    assert plain(run.error)
    assert run_errors.told(run, make_user("eve", is_superuser=True)) == run.error


@pytest.mark.django_db
def test_data_that_is_gone_is_named_without_its_folder(tmp_path: Path) -> None:
    run = trained(make_model(data=str(tmp_path / "away.csv")))

    assert run.status == "failed"
    assert "away.csv" in run.error
    assert str(tmp_path) not in run.error


@pytest.mark.django_db
@pytest.mark.parametrize("there", [True, False])
def test_data_at_an_address_that_does_not_answer_is_waited_for_in_plain_words(
    there: bool, settings: LazySettings
) -> None:
    settings.EVERLEARN_DATA_ALLOW = (ip_network("127.0.0.1/32"),)
    with data_server.serving() as server:
        server.answers["/leaves.csv"] = lambda handler: handler.send_error(500)
        address = server.at("/leaves.csv")
        if there:
            run = trained(make_model(data=address))
    if not there:
        run = trained(make_model(data=address))

    assert run.status == "queued"
    assert run.error.startswith("source_away: the data at 127.0.0.1 cannot be fetched")
    assert plain(run.error)
