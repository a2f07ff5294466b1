"""Why a training ended, for people: a code, plain sentences and what to do.

What a library or Python itself says is for the worker's log: names of exceptions, values as a
programmer writes them and paths help nobody who waits for a version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import TracebackType
from urllib.parse import urlsplit

from django.db import DatabaseError

from feedback_app.run_errors import SEE_LOG
from feedback_app.secrecy import without_secrets
from models_app import datasets, storing
from models_app.refusals import Refused, Unavailable
from models_app.registry import RegistryAway

# What may go better the next time; anything else would only fail again.
PASSING = (RegistryAway, Unavailable, DatabaseError, OSError)
# Of these, what stays as it is until a person does something.
LASTING = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)

OURS = frozenset({"everlearn", "feedback_app", "models_app"})
LONGEST_FOREIGN = 300

UNFORESEEN = (
    f"Training stopped at an unexpected error. {SEE_LOG} Train again; if it fails again, "
    "choose another estimator, or report the lines of the log."
)

# What scikit-learn says about rows, and what that means to whoever gave them.
LESSONS = (
    (
        r"n_splits=\d+ cannot be greater|least populated class|number of (?:splits|folds) greater",
        "A class has fewer rows than the parts that the estimator divides the rows into.",
        "Give more rows of each class, or choose another estimator.",
    ),
    (
        r"contains (?:NaN|infinity)|too large for dtype",
        "The rows have missing values or numbers that the estimator cannot compute with.",
        "Correct those rows, or choose another estimator.",
    ),
    (
        r"[Ff]ound array with 0 (?:sample|feature)|after pruning, no terms remain|empty vocabulary",
        "No feature holds anything that the estimator can use.",
        "Give further columns, or declare another kind for those there are.",
    ),
)

_FOLDER = re.compile(r"\b(?:sqlite|file):/+(?:[^\s/'\":]+/)*|(?<![\w/:.])/(?:[\w.@+ -]+/)+")
# "(sqlite3.OperationalError) database is locked", "ValueError: …".
_RAISED = re.compile(r"\(?\b(?:\w+\.)*\w*(?:Error|Exception|Warning)\b\)?:?\s*")
_PROGRAMMED = re.compile(
    r"<(?:class|function|bound|\w+(?:\.\w+)+)\b|\bat 0x|\b(?:dtype|array|DataFrame|Index)\(|"
    r"\b(?:np|numpy|sklearn|pandas|urllib3)\.\w|\w\(\w+=|__\w+__|\bTraceback\b|\n|"
    r"\bpython\d*\b|\.py\b|\b(?:NoneType|ndarray|self)\b"
)


def told(error: BaseException, *, estimator: str = "") -> str:
    """One line: a code, and what happened. estimator: the one that was to learn."""
    return ": ".join(_code_and_sentence(error, estimator))


def sentence(error: BaseException, *, estimator: str = "") -> str:
    """The same without its code."""
    return _code_and_sentence(error, estimator)[1]


def lasts(error: BaseException) -> bool:
    """Whether another attempt would meet the same."""
    return isinstance(error, LASTING) or not isinstance(error, PASSING)


def of_rows(error: ValueError, *, estimator: str) -> str:
    """What an error says about the rows that were to be learnt from."""
    if _is_ours(error):
        return plain(error)
    said = " ".join(str(error).split())
    for pattern, what, remedy in LESSONS:
        if re.search(pattern, said):
            return f"{what} {remedy}"
    why = foreign(said)
    return (
        f"Estimator '{estimator}' cannot learn from these rows{f': {why}' if why else ''}. "
        f"{SEE_LOG} Change the rows, or choose another estimator or metric."
    )


def of_source(error: OSError, place: str) -> str:
    """What an error says about the data at an address."""
    host = urlsplit(place).hostname
    why = plain(error) if _is_ours(error) else f"the data at {host} cannot be fetched"
    return f"{why.rstrip('.')}. {SEE_LOG} Train again when it answers."


def plain(told_by_us: object) -> str:
    """A sentence of ours in one line, without secrets and without the folders of files."""
    text = " ".join(str(told_by_us).split())
    return without_secrets(_FOLDER.sub("", text)) or f"No reason was given. {SEE_LOG}"


def foreign(said: str) -> str:
    """What a library said, as far as people can read it; "" where they cannot."""
    text = plain(_RAISED.sub("", said)) if said else ""
    unreadable = _PROGRAMMED.search(text) or len(text) > LONGEST_FOREIGN
    return "" if unreadable else text.strip().rstrip(".")


def _code_and_sentence(error: BaseException, estimator: str) -> tuple[str, str]:
    if isinstance(error, Refused):
        return error.code, plain(error)
    if isinstance(error, datasets.DataRefused):
        return "data_refused", plain(error)
    if isinstance(error, ValueError):
        return "training_failed", of_rows(error, estimator=estimator)
    return _of_services(error) or ("training_failed", UNFORESEEN)


def _of_services(error: BaseException) -> tuple[str, str] | None:
    """What is known of an error of the registry, the database or the storage."""
    if isinstance(error, RegistryAway):
        return "registry_away", _of_registry(error)
    if isinstance(error, DatabaseError):
        refusal = storing.refusal_of(error)
        return (refusal.code, refusal.detail) if refusal else None
    if isinstance(error, FileNotFoundError):
        return "storage_missing", (
            "A file that this training needs is missing in the storage of EverLearn. Restore it "
            "from a backup, or train again. manage.py doctor names what else is missing."
        )
    if isinstance(error, OSError):
        why = f": {error.strerror.lower()}" if error.strerror else ""
        return "storage_failed", (
            f"A file could not be read or written{why}. See to the storage, then train again."
        )
    return None


def _of_registry(error: RegistryAway) -> str:
    where, _, said = plain(error).partition(": ")
    if not said:
        return where
    return f"{where}: {foreign(said) or f'it does not answer as it should. {SEE_LOG}'}"


def _is_ours(error: BaseException) -> bool:
    """Whether our own code raised it, in words for people."""
    *_, last = ["", *_frames(error.__traceback__)]
    return last.partition(".")[0] in OURS


def _frames(traceback: TracebackType | None) -> Iterator[str]:
    """The names of the modules that an error came through, the one that raised it last."""
    while traceback is not None:
        yield str(traceback.tb_frame.f_globals.get("__name__", ""))
        traceback = traceback.tb_next
