"""Tell service, MLflow and people that a training elsewhere ended without a verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from feedback_app.secrecy import without_secrets
from feedback_app.standalone import notes, service, summary
from feedback_app.standalone.notes import Note
from feedback_app.standalone.service import ServiceAway, ServiceRefused
from models_app import registry

Say = Callable[[str], None]

UNTOUCHED = "The alias prod was not touched, and what served serves on."
NOT_BEGUN = "the workflow ended before its training began"
KILLED = "the training was killed before it ended"
# Seconds: whoever stops a job kills it when it takes ten.
LAST_WORDS = 5.0
LONGEST_ERROR = 500


def settle(note: Note, why: str, say: Say, *, patience: float = LAST_WORDS) -> bool:
    """Tell them, and return whether nothing is left to tell. why: one line."""
    troubles = [*_end_mlflow_run(note), *_tell_service(note, why, patience)]
    notes.update(note, ended=not troubles)
    lines = [f"{why[:1].upper()}{why[1:]}.".replace("..", "."), UNTOUCHED, *troubles]
    if note.version:
        lines.insert(1, f"Version {note.version} is in MLflow; the service judges it all the same.")
    name = f"{note.model or 'retraining'}: {f'run {note.run} ' if note.run else ''}failed"
    summary.publish(summary.Summary(name, lines), say)
    return not troubles


def settle_last(run: int, say: Say) -> bool:
    """Settle what the training before left open, because it was killed or never began.

    run: the service's, 0 for none. Returns whether nothing is left to tell. Raises UnderWay.
    """
    with notes.alone():
        note, why = notes.read(), KILLED
        if note is None or (run and note.run != run):
            if not run:
                say("No training began here.")
                return True
            note, why = Note(model="", run=run, reporter=notes.reporter()), NOT_BEGUN
        if note.ended:
            say(f"The training of {note.model} has ended, and whom it concerns has been told.")
            return True
        return settle(note, why, say, patience=service.LATER)


def _tell_service(note: Note, why: str, patience: float) -> list[str]:
    """What went wrong with telling it; nothing when it knows, or does not want to."""
    try:
        if not note.run or (known := service.configured()) is None:
            return []
        said: dict[str, Any] = {"status": "failed", "error": without_secrets(why)[:LONGEST_ERROR]}
        if note.version:
            said = {"status": "registered", "version": note.version}
        known.report(note.run, {"reporter": note.reporter, **said}, patience=patience)
    except ServiceAway as away:
        return [f"The service could not be told: {away}."]
    except ServiceRefused:
        # Not our run, or one that it has ended: it knows more than we do.
        return []
    return []


def _end_mlflow_run(note: Note) -> list[str]:
    if not note.mlflow_run_id or note.version:
        return []
    try:
        registry.kill_run(note.mlflow_run_id)
    except registry.RegistryAway as away:
        return [f"MLflow's run {note.mlflow_run_id} is still open: {away}."]
    return []
