from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

from models_app import declaration
from models_app.declaration import DeclarationRefused

MINIMAL = '[models.leaves]\ndata = "leaves.csv"\ntarget = "kind"\n'


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "models.toml"
    path.write_text(text)
    return path


def test_a_model_needs_only_data_and_target(tmp_path: Path) -> None:
    declared = declaration.read(write(tmp_path, MINIMAL)).models["leaves"]

    assert (declared.estimator, declared.public, declared.task) == ("auto", False, None)
    assert declared.promotion.model_dump() == {
        "mode": "manual", "margin": 0.005, "min_rows": 30, "external": "follow",
    }  # fmt: skip
    assert declared.feedback.model_dump() == {
        "review": "suspicious", "weight": 1.0, "max_share_per_source": 0.2,
    }  # fmt: skip


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())

    assert list(declaration.read(path).models) == ["leaves"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (MINIMAL + 'estimater = "auto"\n', 4, "did you mean 'estimator'?"),
        (MINIMAL + "\n[models.leaves.retrain]\nfeedbak = 3\n", 6, "did you mean 'feedback'?"),
        ('defualt = "a"\n' + MINIMAL, 1, "did you mean 'default'?"),
        (MINIMAL + 'public = "yes"\n', 4, "'models.leaves.public' is 'yes'"),
        (MINIMAL + "[models.leaves.retrain]\nfeedback = 0\n", 5, "greater than or equal to 1"),
        (MINIMAL + '[models.leaves.retrain]\nschedule = "often"\n', 5, "cron"),
        (MINIMAL + '[models.leaves.retrain]\ncooldown = "1 hour"\n', 5, "'1 hour' is no duration"),
        (MINIMAL + '[models.leaves.promotion]\nmode = "semi"\n', 5, "'semi'"),
        (MINIMAL + '[models.leaves.features.a]\nkind = "int"\n', 5, "'int'"),
        (MINIMAL.replace("leaves.csv", "env:SECRET"), 2, "env:DATA_URL"),
        ('[models.leaves]\ntarget = "kind"\n', 1, "'models.leaves.data' is required"),
        ('[models.Leaves]\ndata = "a"\ntarget = "b"\n', 1, "model name 'Leaves'"),
        ('default = "leave"\n' + MINIMAL, 1, "did you mean 'leaves'?"),
    ],
)
def test_a_mistake_is_refused_with_file_line_and_remedy(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    path = write(tmp_path, text)

    with pytest.raises(DeclarationRefused) as refusal:
        declaration.read(path)

    assert f"{path}:{line}: " in str(refusal.value)
    assert words in str(refusal.value)


def test_every_mistake_of_a_file_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(DeclarationRefused) as refusal:
        declaration.read(write(tmp_path, MINIMAL + "x = 1\ny = 2\n"))

    assert len(str(refusal.value).splitlines()) == 2


@pytest.mark.parametrize("text", ["= 3", "[models", "default = 'a'\ndefault = 'b'"])
def test_what_is_not_toml_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DeclarationRefused, match="not TOML"):
        declaration.read(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeclarationRefused, match=r"nowhere\.toml: cannot be read"):
        declaration.read(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    ("data", "located"),
    [
        ("rows.csv", "/models/rows.csv"),
        ("/elsewhere/rows.csv", "/elsewhere/rows.csv"),
        ("env:DATA_URL", "env:DATA_URL"),
    ],
)
def test_data_paths_are_relative_to_the_file(data: str, located: str) -> None:
    assert declaration.locate_data(data, Path("/models")) == located


def test_what_the_page_on_tables_declares_can_be_declared(tmp_path: Path) -> None:
    page = (settings.BASE_DIR / "docs/reference/how-a-table-is-read.md").read_text()
    (shown,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)

    declared = declaration.read(write(tmp_path, shown)).models["orders"]

    fields = declaration.DeclaredReading.model_fields
    assert declared.reading.model_fields_set == set(fields)
    said = {key for one in declared.features.values() for key in one.model_fields_set}
    assert said == set(declaration.DeclaredFeature.model_fields)
