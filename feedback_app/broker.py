"""The queue's table, seen by a cluster that carries out nothing but our own tasks.

django-q2 calls whatever function a message names, imports it by name to do so, and calls a
message's `hook` when it is done. So each message is looked at as it is taken: what we did not
put there ourselves (another signature, another function, an option of django-q2's own) is
deleted, logged and never looked up.
"""

from __future__ import annotations

import logging
from typing import Any

from django_q.brokers.orm import ORM
from django_q.signing import SignedPackage

from feedback_app import queueing

logger = logging.getLogger(__name__)

# What django-q2 puts into a message by itself, and the options that `queueing` gives it.
MEMBERS = frozenset(
    {"id", "name", "func", "args", "kwargs", "started", "group", "timeout", "save", "ack_failure"}
)


class VettingBroker(ORM):  # type: ignore[misc]
    """django-q2's broker on the database, less the messages that nobody here sent."""

    def dequeue(self) -> list[tuple[int, str]] | None:
        taken = super().dequeue()
        return taken and [message for message in taken if self._vetted(*message)]

    def _vetted(self, message_id: int, payload: str) -> bool:
        why = refusal(payload)
        if why:
            logger.error("message %s of the queue was dropped: %s", message_id, why)
            self.delete(message_id)
        return not why


def refusal(payload: str) -> str:
    """Why a message must not be carried out; "" when it is one of ours."""
    try:
        message = SignedPackage.loads(payload)
    except Exception as error:  # noqa: BLE001 - whatever a damaged message makes its reader raise
        return f"it is not signed by this installation, or damaged ({type(error).__name__})"
    if not isinstance(message, dict):
        return "it is no task"
    return _unlike_ours(message)


def _unlike_ours(message: dict[str, Any]) -> str:
    name = message.get("func")
    if not isinstance(name, str) or name not in queueing.TASKS:
        return f"it names {str(name)[:100]!r}, which is no task of EverLearn's"
    if foreign := sorted(set(message) - MEMBERS):
        return f"it has {', '.join(map(repr, foreign))}, which EverLearn never sends"
    if message.get("kwargs") or not all(type(one) is int for one in message.get("args", ())):
        return "it holds more than an id"
    return ""
