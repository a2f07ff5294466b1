"""A server on this machine that answers as GitHub's REST API is documented to."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

REPOSITORY = "acme/wine"
TOKEN = "ghp_c4n4ryC4n4ryC4n4ryC4n4ryC4n4ryC4n4r"


@dataclass(frozen=True)
class Answer:
    """One answer. late: seconds after which it comes, though what was asked is done at once.

    cut_off: its body ends before its length is reached.
    """

    status: int
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    late: float = 0.0
    cut_off: bool = False


ACCEPTED = Answer(204)


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class FakeGitHub:
    """Gives the answers that it was told, in turn, then the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers) or [ACCEPTED]
        self.asked: list[Asked] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def settings(self) -> dict[str, str]:
        """The settings of an EverLearn whose runs are trained by it."""
        return {
            "EVERLEARN_TRAINING_BACKEND": "github",
            "EVERLEARN_GITHUB_REPOSITORY": REPOSITORY,
            "EVERLEARN_GITHUB_API_URL": self.url,
            "REPO_TOKEN": TOKEN,
        }

    def dispatched(self) -> list[Any]:
        """What every dispatch said that came, accepted or not."""
        return [one.body for one in self.asked if one.path.endswith("/dispatches")]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        github = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = json.loads(self.rfile.read(length) or "null")
                github.asked.append(Asked(self.command, self.path, dict(self.headers), body))
                answer = github.answers[0]
                if len(github.answers) > 1:
                    github.answers.pop(0)
                time.sleep(answer.late)
                self._give(answer)

            do_GET = do_POST  # noqa: N815 - its names

            def _give(self, answer: Answer) -> None:
                content = json.dumps({"message": answer.message}).encode() * bool(answer.message)
                try:
                    self.send_response(answer.status)
                    for name, value in answer.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content) + 9 * answer.cut_off))
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    pass  # whoever asked did not wait so long

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Handler
