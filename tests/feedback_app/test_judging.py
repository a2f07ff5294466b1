from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from feedback_app.judging import judge
from feedback_app.snapshots import Frozen
from models_app.models import ModelVersion, TrainingSnapshot
from models_app.refusals import BundleRefused
from tests.factories import leaves, make_champion, make_model, make_version

pytestmark = pytest.mark.django_db


def frozen(unseen: pd.DataFrame) -> Frozen:
    return Frozen(leaves(60, seed=5), unseen, np.ones(len(unseen), dtype=np.bool_), "f0" * 32)


def judged(
    challenger: ModelVersion, champion: ModelVersion | None, rows: int = 80
) -> dict[str, object]:
    challenger.snapshot = TrainingSnapshot(digest="5" * 64)
    return judge(challenger, champion=champion, frozen=frozen(leaves(rows, seed=7)), seed=1)


def test_a_version_that_may_have_learnt_the_very_rows_is_for_a_person_to_decide() -> None:
    champion, challenger = make_champion(turned=True), make_version()
    assert challenger.snapshot is None

    report = judge(challenger, champion=champion, frozen=frozen(leaves(80, seed=7)), seed=1)

    assert report["verdict"] == "HOLD"
    assert [check["name"] for check in report["checks"]][:2] == ["learnt_from", "finite"]


def test_a_better_version_is_to_be_promoted_and_the_report_says_against_what() -> None:
    champion = make_champion(turned=True)

    report = judged(make_version(), champion)

    assert (report["verdict"], report["against"], report["rows"]) == ("PROMOTE", 1, 80)
    assert report["rows_digest"] == judged(make_version(), champion)["rows_digest"]
    assert report["golden_digest"] == "f0" * 32


def test_a_worse_version_is_rejected() -> None:
    champion = make_champion()

    assert judged(make_version(turned=True), champion)["verdict"] == "REJECT"


def test_without_enough_rows_nothing_is_decided() -> None:
    champion = make_champion(turned=True)

    assert judged(make_version(), champion, rows=29)["verdict"] == "HOLD"


@pytest.mark.parametrize(("promotion", "verdict"), [({}, "HOLD"), ({"min_rows": 20}, "PROMOTE")])
def test_the_models_own_limits_hold(promotion: dict[str, int], verdict: str) -> None:
    champion = make_champion(make_model(promotion=promotion), turned=True)

    assert judged(make_version(), champion, rows=25)["verdict"] == verdict


def test_the_first_version_has_no_rival() -> None:
    report = judged(make_version(make_model()), None)

    assert (report["verdict"], report["against"]) == ("PROMOTE", None)


def test_a_version_without_its_bundle_is_not_judged() -> None:
    champion = make_champion()

    with pytest.raises(BundleRefused):
        judged(make_version(bundle_digest="0" * 64), champion)
