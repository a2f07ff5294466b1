from __future__ import annotations

from pathlib import Path

import pytest

from feedback_app.standalone.summary import Summary, publish

CHECKS = [
    {"name": "margin", "passed": False, "value": 0.001, "limit": 0.005},
    {"name": "beats_champion", "passed": True, "value": None, "limit": 0.0},
]


def test_it_stands_on_the_terminal_and_on_the_page_of_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    said: list[str] = []

    publish(Summary("wine version 4: HOLD", ["Run 7."], {"accuracy": 0.91234}, CHECKS), said.append)

    assert said == [
        "wine version 4: HOLD",
        "Run 7.",
        "  accuracy  0.9123",
        "  NO margin: 0.001 (0.005)",
        "  ok beats_champion: – (0)",
    ]
    page = (tmp_path / "summary.md").read_text().splitlines()
    assert page[0] == "## wine version 4: HOLD"
    assert "| accuracy | 0.9123 |" in page
    assert "| margin | NO | 0.001 | 0.005 |" in page


def test_text_from_outside_is_only_text_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    hostile = "so\n::set-env name=x::y\n# big <img src=x onerror=y> ![a](http://b) | c"
    said: list[str] = []

    publish(Summary(f"::{hostile}", [f"::{hostile}"]), said.append)

    page = (tmp_path / "summary.md").read_text()
    assert len(page.splitlines()) == 3
    assert len(said) == 2
    assert r"\<img src=x onerror=y\> \!\[a\]\(http://b\) \| c" in page
    # GitHub takes a line that begins with two colons for a command.
    assert not [line for text in said for line in text.splitlines() if line.startswith("::")]
