"""A model of an earlier release, whose data is read anew while its version serves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from django.conf import settings

from feedback_app import golden
from models_app import applying, datasets, declaration, promotion, serving
from models_app.actors import system_user
from models_app.learning.tables import infer_schema
from models_app.models import Deployment, RegisteredModel
from tests.factories import make_model, make_user
from tests.feedback_app.trained import train

pytestmark = pytest.mark.django_db

ADMIN = Deployment.Door.ADMIN


def table(rows: int = 300) -> str:
    """Codes that are no numbers, and sizes that a spreadsheet wrote with a decimal comma."""
    chance, lines = np.random.default_rng(5), ["zip,size,risk"]
    for row in range(rows):
        code, size = ["02116", "02139", "10001"][row % 3], chance.uniform(0, 10)
        risk = "high" if (code == "02116") != (size > 8) else "low"
        lines.append(f'{code},"{size:.2f}",{risk}'.replace(".", ","))
    return "\n".join(lines) + "\n"


def earlier() -> RegisteredModel:
    """A model that an earlier release declared and trained, reading as pandas tells."""
    path = settings.EVERLEARN_HOME / "codes.csv"
    path.write_text(table())
    schema = infer_schema(datasets.read_table(str(path)), target="risk")
    model = make_model("codes", data=str(path), target="risk", features=schema.to_json())
    assert train(model).status == "succeeded"
    model.refresh_from_db()
    return model


def apply(model: RegisteredModel, *, reread: bool) -> None:
    path = settings.EVERLEARN_HOME / "codes.toml"
    path.write_text(
        '[models.codes]\ndata = "codes.csv"\ntarget = "risk"\nestimator = "logistic"\n'
        "public = true\n"
    )
    changes = applying.plan(declaration.read(path), path, reread=reread)
    applying.apply(changes, actor=system_user("cli"))
    model.refresh_from_db()


def answer(zip_code: Any, size: Any) -> str:
    instance = {"zip": zip_code, "size": size}
    (prediction,) = serving.predict("codes", [instance], client=None).predictions
    return str(prediction["value"])


def test_the_version_of_before_serves_on_and_can_be_rolled_back_to() -> None:
    model = earlier()
    apply(model, reread=False)
    assert model.reading == {}
    before = {one["name"]: one["kind"] for one in model.features}
    chosen = model.golden_digest

    apply(model, reread=True)
    run = train(model)

    assert (before["zip"], before["size"]) == ("number", "text")
    after = {one["name"]: one["kind"] for one in model.features}
    assert (after["zip"], after["size"]) == ("category", "number")
    # The two take other values, so a person decides.
    assert run.version
    assert run.version.gate
    assert (run.status, run.version.gate["verdict"]) == ("held", "HOLD")
    assert run.version.gate["checks"][0]["name"] == "comparable"
    assert answer(2116, "3,50") in ("high", "low")
    model.refresh_from_db()
    assert model.golden_digest != chosen
    assert golden.read(model.golden_digest).fits(model)

    boss = make_user("boss", is_superuser=True)
    promotion.promote(run.version, actor=boss, door=ADMIN, reason="read right", override=True)
    assert (answer("02116", 3.5), answer("02139", 3.5)) == ("high", "low")

    promotion.rollback(model, actor=boss, door=ADMIN, reason="clients send numbers")
    assert answer(2116, "3,50") in ("high", "low")


def test_a_version_that_reads_as_the_champion_does_is_compared_with_it() -> None:
    model = earlier()
    apply(model, reread=True)
    first = train(model)
    assert first.version
    boss = make_user("boss", is_superuser=True)
    promotion.promote(first.version, actor=boss, door=ADMIN, reason="read right", override=True)

    second = train(model)

    assert second.version
    assert second.version.gate
    checks = [check["name"] for check in second.version.gate["checks"]]
    assert "comparable" not in checks
    assert "margin" in checks


def test_a_champion_that_spells_classes_otherwise_is_compared_by_what_it_means() -> None:
    """pandas made `true` of True: the champion of before is no worse for saying so."""
    path = settings.EVERLEARN_HOME / "truths.csv"
    lines = [f"{n / 10},{n % 7},{n < 100}" for n in range(200)]
    path.write_text("a,b,paid\n" + "\n".join(lines) + "\n")
    schema = infer_schema(datasets.read_table(str(path)), target="paid")
    model = make_model("truths", data=str(path), target="paid", features=schema.to_json())
    assert train(model).status == "succeeded"
    model.refresh_from_db()
    assert model.champion
    assert model.champion.classes == ["false", "true"]
    file = settings.EVERLEARN_HOME / "truths.toml"
    file.write_text(
        '[models.truths]\ndata = "truths.csv"\ntarget = "paid"\nestimator = "logistic"\n'
    )

    changes = applying.plan(declaration.read(file), file, reread=True)
    applying.apply(changes, actor=system_user("cli"))
    model.refresh_from_db()
    run = train(model)

    assert run.version
    assert run.version.classes == ["False", "True"]
    checks = {check["name"]: check for check in (run.version.gate or {})["checks"]}
    assert abs(checks["margin"]["value"]) < 0.2
