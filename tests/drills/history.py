"""Clients that write down whatever they asked and were answered; `invariants` judges it later."""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Any, Self

import httpx

from tests.factories import LONG, SHORT

# A line for each request would bury what a failing drill has to say.
logging.getLogger("httpx").setLevel(logging.WARNING)

# Longer than anything may take that is not refused.
TIMEOUT = 15.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer. `status` 0: no answer, so whether it was done is unknown."""

    kind: str
    # Sent along, and stored with what this request makes; retries of a request share it.
    mark: str
    asked: Mapping[str, Any]
    sent: float
    ended: float
    status: int = 0
    # What was answered; the text itself when it is no JSON.
    answer: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    # One connection is one web process, as long as it lasts.
    connection: str = ""
    why: str = ""


class History:
    """All exchanges so far, in the order in which they ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._exchanges: list[Exchange] = []

    def add(self, exchange: Exchange) -> Exchange:
        with self._lock:
            self._exchanges.append(exchange)
        return exchange

    def __iter__(self) -> Iterator[Exchange]:
        with self._lock:
            return iter(list(self._exchanges))

    def __len__(self) -> int:
        return len(self._exchanges)

    def answered_since(self, moment: float) -> bool:
        """Whether a prediction that was asked for after `moment` (since 1970) was given."""
        return any(one.status == 200 for one in self.predictions_since(moment))

    def predictions_since(self, moment: float) -> list[Exchange]:
        return [one for one in self if one.kind == "predict" and one.sent > moment]


class Clients:
    """Threads that predict and give feedback at a steady rate, for as long as the block lasts.

    rate: predictions a second of all together; every third is followed by feedback on it.
    kept_alive: whether connections are used again, as a server may close them between requests.
    """

    def __init__(
        self, url: str, key: str, *, rate: float = 20, threads: int = 4, kept_alive: bool = True
    ) -> None:
        self.history = History()
        self._url, self._key = url, key
        self._pause = threads / rate
        self._limits = httpx.Limits(max_keepalive_connections=None if kept_alive else 0)
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(threads)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        chance = Random(number)  # noqa: S311 - the same each time
        due = time.monotonic() + chance.random() * self._pause
        with httpx.Client(
            base_url=self._url,
            headers={"Authorization": f"Bearer {self._key}"},
            timeout=TIMEOUT,
            limits=self._limits,
        ) as client:
            while not self._stopping.wait(max(0.0, due - time.monotonic())):
                due = max(due + self._pause, time.monotonic() - 1)
                predicted = self._predict(client, chance.choice((LONG, SHORT)))
                if predicted.status == 200 and chance.random() < 1 / 3:
                    self._judge(client, predicted)

    def _predict(self, client: httpx.Client, instance: Mapping[str, float]) -> Exchange:
        mark = uuid.uuid4().hex
        body = {"instances": [instance], "subject": mark}
        return self._ask(client, "predict", "/api/models/leaves/predict/", mark, body)

    def _judge(self, client: httpx.Client, predicted: Exchange) -> None:
        mark = uuid.uuid4().hex
        (prediction,) = predicted.answer["predictions"]
        body = {"prediction": prediction["id"], "value": prediction["value"], "comment": mark}
        while True:
            told = self._ask(
                client, "feedback", "/api/feedback/", mark, body, {"Idempotency-Key": mark}
            )
            # What a client is told to do when it cannot know: the same again.
            if told.status not in (0, 409, 503) or self._stopping.wait(0.2):
                return

    def _ask(
        self,
        client: httpx.Client,
        kind: str,
        path: str,
        mark: str,
        body: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
    ) -> Exchange:
        sent = time.time()
        try:
            response = client.post(path, json=body, headers=headers)
        except httpx.HTTPError as error:
            lost = Exchange(kind, mark, body, sent, time.time(), why=repr(error))
            return self.history.add(lost)
        return self.history.add(
            Exchange(
                kind, mark, body, sent, time.time(), response.status_code, _read(response),
                dict(response.headers), _connection(response),
            )
        )  # fmt: skip


def _read(response: httpx.Response) -> Any:
    try:
        return json.loads(response.content)
    except ValueError:
        return response.text


def _connection(response: httpx.Response) -> str:
    """This end of it, which no other connection has while it lasts."""
    try:
        address = response.extensions["network_stream"].get_extra_info("client_addr")
    except OSError:  # closed already: it had one answer
        address = uuid.uuid4().hex
    return f"{threading.get_ident()}:{address}"
