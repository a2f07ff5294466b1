from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest
from django.conf import LazySettings

from models_app import applying, declaration
from models_app.actors import system_user
from models_app.applying import Change, PlanRefused
from models_app.models import RegisteredModel
from tests.factories import leaves

pytestmark = pytest.mark.django_db

DECLARED = """
default = "leaves"
[models.leaves]
data = "leaves.csv"
target = "kind"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    leaves().to_csv(tmp_path / "leaves.csv", index=False)
    path = tmp_path / "models.toml"
    path.write_text(DECLARED)
    return path


def plan(file: Path, *, prune: bool = False) -> list[Change]:
    return applying.plan(declaration.read(file), file, prune=prune)


def apply(file: Path, text: str = "", *, prune: bool = False) -> None:
    if text:
        file.write_text(text)
    applying.apply(plan(file, prune=prune), actor=system_user("cli"))


def test_what_is_not_said_is_learnt_from_the_data(file: Path) -> None:
    apply(file)

    model = RegisteredModel.objects.get()
    assert (model.task, model.metric) == ("classification", "balanced_accuracy")
    assert model.features == [
        {"name": "length", "kind": "number", "required": True},
        {"name": "width", "kind": "number", "required": True},
    ]
    assert model.is_default


def test_applying_twice_changes_nothing(file: Path) -> None:
    apply(file)

    assert plan(file) == []


def test_the_plan_says_what_would_change_and_changes_nothing(file: Path) -> None:
    apply(file)
    file.write_text(DECLARED + "public = true\n[models.leaves.features.width]\nkind = 'category'\n")

    lines = [line for change in plan(file) for line in change.lines()]

    assert lines == [
        "~ leaves: update",
        "    public: False -> True",
        "    feature 'width': number -> category, required",
    ]
    assert not RegisteredModel.objects.get().public


def test_the_file_wins_for_what_it_names_and_leaves_the_rest(file: Path) -> None:
    apply(file)
    apply(file, DECLARED.replace("leaves]", "trees]").replace('"leaves"', '"trees"'))

    kept = RegisteredModel.objects.get(name="leaves")
    assert (kept.retired_at, kept.is_default) == (None, False)
    assert RegisteredModel.objects.get(name="trees").is_default


def test_pruning_retires_what_is_not_named_and_naming_brings_it_back(file: Path) -> None:
    apply(file)
    apply(file, DECLARED.replace("leaves]", "trees]").replace('"leaves"', '"trees"'), prune=True)
    assert RegisteredModel.objects.get(name="leaves").retired_at is not None

    apply(file, DECLARED)

    assert RegisteredModel.objects.get(name="leaves").retired_at is None
    assert RegisteredModel.objects.get(is_default=True).name == "leaves"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('estimator = "hist-gradient-bosting"', "hist-gradient-boosting"),
        ('metric = "balanced_acuracy"', "balanced_accuracy"),
        ('metric = "neg_root_mean_squared_error"', "neg_root_mean_squared_error"),
        ("[models.leaves.features.lenght]\nrequired = false", "length"),
        ('estimator = "os.system"', "os.system"),
    ],
)
def test_what_the_data_or_the_catalogue_does_not_have_is_refused(
    file: Path, line: str, words: str
) -> None:
    file.write_text(DECLARED + line + "\n")

    with pytest.raises(PlanRefused, match=words) as refusal:
        plan(file)

    assert "[models.leaves]" in str(refusal.value)


def test_a_target_that_is_no_column_is_refused_with_the_nearest_one(file: Path) -> None:
    file.write_text(DECLARED.replace('"kind"', '"kindd"'))

    with pytest.raises(
        PlanRefused, match="target: there is no column 'kindd'; did you mean 'kind'"
    ):
        plan(file)


def test_data_that_is_away_does_not_stop_a_model_declared_before(file: Path) -> None:
    apply(file)
    (file.parent / "leaves.csv").unlink()

    assert plan(file) == []


def test_data_that_was_never_there_is_refused(file: Path) -> None:
    (file.parent / "leaves.csv").unlink()

    with pytest.raises(PlanRefused, match="no such file"):
        plan(file)


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("http://127.0.0.1:1/leaves.csv", "not a public address"),
        ("http://0x7f000001/leaves.csv", "not allowed"),
        ("http://[::ffff:10.0.0.1]/leaves.csv", "not a public address"),
        ("http://169.254.169.254/latest/meta-data", "not a public address"),
        ("https://ada:secret@example.com/leaves.csv", "a user or a password"),
        ("file:///etc/passwd", "addresses begin with"),
    ],
)
def test_an_address_that_is_not_allowed_is_declared_by_nobody(
    file: Path, settings: LazySettings, place: str, why: str
) -> None:
    settings.EVERLEARN_DATA_ALLOW = ()
    apply(file)
    settings.DATA_URL = place

    for said in (place, "env:DATA_URL"):
        file.write_text(DECLARED.replace("leaves.csv", said))
        with pytest.raises(PlanRefused, match=rf"\[models.leaves\].*{why}") as refusal:
            plan(file)
        assert "secret" not in str(refusal.value)


def test_a_server_that_is_away_does_not_stop_a_model_declared_before(
    file: Path, settings: LazySettings
) -> None:
    settings.EVERLEARN_DATA_ALLOW = (ip_network("127.0.0.1/32"),)
    apply(file)
    file.write_text(DECLARED.replace("leaves.csv", "http://127.0.0.1:1/leaves.csv"))

    with pytest.raises(PlanRefused, match="Cannot connect"):
        plan(file)
    RegisteredModel.objects.update(data="http://127.0.0.1:1/leaves.csv")

    assert plan(file) == []


def test_a_single_model_beside_others_leaves_the_default_as_it_is(file: Path) -> None:
    apply(file)
    apply(file, '[models.trees]\ndata = "leaves.csv"\ntarget = "kind"\n')
    assert RegisteredModel.objects.get(is_default=True).name == "leaves"

    apply(file)
    apply(file, DECLARED.replace('default = "leaves"', ""))

    assert RegisteredModel.objects.get(is_default=True).name == "leaves"


def test_a_single_model_is_the_default_without_saying_so(file: Path) -> None:
    apply(file, DECLARED.replace('default = "leaves"', ""))

    assert RegisteredModel.objects.get().is_default


def test_a_new_category_in_the_data_is_no_new_declaration(file: Path) -> None:
    text = DECLARED.replace("kind", "width") + "task = 'regression'\n"
    apply(file, text)
    rows = leaves()
    rows.loc[0, "kind"] = "ash"
    rows.to_csv(file.parent / "leaves.csv", index=False)

    assert plan(file) == []
