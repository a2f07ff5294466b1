"""`make demo`: real handwritten digits as live traffic through the whole loop, in a few minutes.

Starts an installation of its own with `manage.py up` and is nothing but its client: it predicts,
gives feedback, waits for the retraining that the feedback causes, promotes, lets the data source
break, promotes what learnt from that too, against the gate's word, and rolls back.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from everlearn.demo.service import ROOT, Service, installation

HOME = Path(os.environ.get("EVERLEARN_HOME") or ROOT / "var") / "demo"
SEED = 7
# Rows of the 1,797, in this order, none of them twice.
SHARES = {"base": 700, "calm": 150, "drifted": 360, "after": 240, "never": 347}
REQUEST_ROWS = 5
ROLLING = 40
MODELS = """
default = "digits"
[models.digits]
data = "base.csv"
target = "digit"
estimator = "random-forest"
metric = "accuracy"
[models.digits.retrain]
feedback = 240
cooldown = "1s"
[models.digits.feedback]
review = "none"
"""


@dataclass
class Story:
    """What happened: whether each live prediction was right, what marked the way, scores."""

    right: list[bool] = field(default_factory=list)
    marks: list[tuple[int, str]] = field(default_factory=list)
    scores: list[tuple[str, int, float]] = field(default_factory=list)

    def mark(self, what: str) -> None:
        """Remember that `what` happened after the predictions made so far."""
        self.marks.append((len(self.right), what))


def main() -> None:
    """Run the story and say what came of it."""
    console = Console()
    digits = pd.read_csv(ROOT / "data" / "digits.csv").sample(frac=1, random_state=SEED)
    parts = dict(zip(SHARES, _cut(digits), strict=True))
    parts["drifted"] = shifted(parts["drifted"])
    for name in ("after", "never"):
        parts[name] = half_shifted(parts[name])
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    parts["base"].to_csv(HOME / "base.csv", index=False)
    (HOME / "everlearn.toml").write_text(MODELS)
    console.print("Starting an installation with a model trained on 700 real digits …")
    with installation(HOME) as service, _progress(console) as progress:
        story = play(service, parts, progress)
    picture = draw(story, HOME / "demo.png")
    console.print(summary(story))
    console.print(f"The picture: {picture}")


def _cut(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    start = 0
    for size in SHARES.values():
        yield rows.iloc[start : start + size]
        start += size


def shifted(rows: pd.DataFrame) -> pd.DataFrame:
    """The drift: a scanner that now sees every digit one pixel further to the right."""
    pixels = rows.drop(columns="digit")
    images = pixels.to_numpy().reshape(-1, 8, 8)
    moved = np.roll(images, 1, axis=2)
    moved[:, :, 0] = 0
    shifted_rows = pd.DataFrame(moved.reshape(-1, 64), columns=pixels.columns, index=rows.index)
    return shifted_rows.assign(digit=rows["digit"])


def half_shifted(rows: pd.DataFrame) -> pd.DataFrame:
    """The traffic from then on: every other digit comes from that scanner."""
    return pd.concat([rows.iloc[::2], shifted(rows.iloc[1::2])]).loc[rows.index]


def play(service: Service, parts: dict[str, pd.DataFrame], progress: Progress) -> Story:
    """Calm, drift, feedback, retraining, promotion, a spoilt update, its rollback."""
    story = Story()
    live(service, story, parts["calm"], progress, "traffic as it was in training")
    story.mark("drift begins")
    for rows in np.array_split(np.arange(len(parts["drifted"])), 3):
        answered = live(service, story, parts["drifted"].iloc[rows], progress, "drifted traffic")
        give_feedback(service, answered, parts["drifted"].iloc[rows]["digit"].tolist())
    score(service, story, "before", parts["never"])
    better = wait_for_version(service, progress, "retraining, as 240 answers came back")
    gate = better["gate"]
    # What came back looks like no row of the base data, so that a person may have to decide.
    if gate["verdict"] != "PROMOTE" and not gate["left_to_a_person"]:
        raise RuntimeError(f"the gate said {gate['verdict']}: {gate['checks']}")
    service.post("models/digits/promote/", {"version": better["number"], "reason": "demo"})
    service.reload()
    story.mark(f"v{better['number']} promoted")
    live(service, story, parts["after"].iloc[:100], progress, "mixed traffic, new version")
    score(service, story, "after retraining", parts["never"])
    spoil(service, story, parts, progress)
    return story


def spoil(
    service: Service, story: Story, parts: dict[str, pd.DataFrame], progress: Progress
) -> None:
    """The data source mixes up its labels: the gate refuses what learns from it; people do not."""
    base = parts["base"]
    mixed_up = base.assign(digit=base["digit"].sample(frac=1, random_state=SEED).to_numpy())
    mixed_up.to_csv(HOME / "base.csv", index=False)
    service.post("models/digits/retrain/", {"reason": "demo: the data source changed"})
    bad = wait_for_version(service, progress, "retraining on labels that are mixed up")
    service.override(bad["number"], "demo: somebody overrides the gate")
    service.reload()
    story.mark(f"v{bad['number']}: gate said {bad['gate']['verdict']}, overridden")
    live(service, story, parts["after"].iloc[100:160], progress, "the bad version serves")
    score(service, story, "gate overridden", parts["never"])
    service.post("models/digits/rollback/", {"reason": "demo: complaints"})
    service.reload()
    story.mark("rolled back")
    live(service, story, parts["after"].iloc[160:], progress, "rolled back")
    score(service, story, "rolled back", parts["never"])


def live(
    service: Service, story: Story, rows: pd.DataFrame, progress: Progress, what: str
) -> list[dict[str, Any]]:
    """Ask for predictions as clients do, a few rows at a time; the predictions made."""
    answered = []
    for start in progress.track(range(0, len(rows), REQUEST_ROWS), description=what):
        batch = rows.iloc[start : start + REQUEST_ROWS]
        predictions = service.predict(batch.drop(columns="digit"))
        story.right += _right(predictions, batch)
        answered += predictions
    return answered


def give_feedback(service: Service, answered: Sequence[dict[str, Any]], values: list[int]) -> None:
    """Say what the right answers were, some time later and all at once."""
    words = [
        {"prediction": prediction["id"], "value": value}
        for prediction, value in zip(answered, values, strict=True)
    ]
    service.post("feedback/", words)


def wait_for_version(service: Service, progress: Progress, what: str) -> dict[str, Any]:
    """The version of the run that feedback triggers next, once it has ended."""
    known = len(service.get("runs/?model=digits")["results"])
    known -= any(run["ended_at"] is None for run in service.get("runs/?model=digits")["results"])
    line = progress.add_task(what, total=None)
    while True:
        runs = service.get("runs/?model=digits")["results"]
        if len(runs) > known and runs[0]["ended_at"]:
            break
        if len(runs) > known:
            progress.update(line, description=f"{what}: {runs[0]['progress']['step']}")
        time.sleep(0.3)
    progress.update(line, description=what, total=1, completed=1)
    if runs[0]["version"] is None:
        raise RuntimeError(f"run {runs[0]['id']} failed: {runs[0]['error']}")
    version: dict[str, Any] = service.get(f"models/digits/versions/{runs[0]['version']}/")
    return version


def score(service: Service, story: Story, when: str, rows: pd.DataFrame) -> None:
    """Accuracy of what serves, on drifted rows that nobody ever gave feedback on."""
    right = _right(service.predict(rows.drop(columns="digit")), rows)
    version = service.get("models/digits/")["version"]
    story.scores.append((when, version, float(np.mean(right))))


def _right(predictions: Sequence[dict[str, Any]], rows: pd.DataFrame) -> list[bool]:
    truth = rows["digit"].astype(str)
    return [one["value"] == true for one, true in zip(predictions, truth, strict=True)]


def draw(story: Story, path: Path) -> Path:
    """The share of right answers among the last 40, over the course of the story."""
    rolling = pd.Series(story.right, dtype=float).rolling(ROLLING, min_periods=10).mean()
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(rolling, color="#2563eb", linewidth=2)
    for at, what in story.marks:
        axes.axvline(at, color="#94a3b8", linestyle=":", linewidth=1)
        axes.text(at, 1.03, f" {what}", rotation=30, fontsize=9, va="bottom")
    axes.set(
        xlabel="predictions answered",
        ylabel=f"right, of the last {ROLLING}",
        ylim=(0, 1.02),
        xlim=(0, len(rolling)),
    )
    figure.savefig(path, dpi=120)
    return path


def summary(story: Story) -> Table:
    """Accuracy at each turn, on rows never trained on."""
    table = Table(
        "", "version", "accuracy", title=f"{SHARES['never']} unseen digits, half of them drifted"
    )
    for when, version, accuracy in story.scores:
        table.add_row(when, f"v{version}", f"{accuracy:.1%}")
    return table


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


if __name__ == "__main__":
    main()
