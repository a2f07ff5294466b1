from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.learning import tables
from models_app.learning.kinds import Kind
from models_app.learning.schema import Feature, Schema
from tests.models_app.learning.real_data import FRAMES, prepared


def kind_of(*values: Any) -> str:
    return tables.infer_kind(pd.Series(list(values)))


@pytest.mark.parametrize("name", FRAMES)
def test_instances_of_real_data_pass_their_own_schema(name: str) -> None:
    data = prepared(name)

    data.schema.check(tables.instances_of(data.frame, data.schema))


@pytest.mark.parametrize("name", FRAMES)
def test_training_and_serving_encode_real_data_alike(name: str) -> None:
    data = prepared(name)

    served = data.schema.columns(tables.instances_of(data.frame, data.schema))

    pd.testing.assert_frame_equal(data.encoded, tables.framed(served))


def test_the_kinds_of_a_mixed_table_are_inferred() -> None:
    assert {one.name: (one.kind, one.required) for one in prepared("mixed").schema.features} == {
        "class": ("category", False),
        "lambda": ("number", False),
        "tail length (mm.)": ("number", True),
        "naïve": ("boolean", False),
        "when": ("datetime", False),
        "constant": ("number", False),
    }


def test_categories_are_those_of_the_data() -> None:
    assert prepared("mixed").schema.features[0].categories == ("a", "b", "c")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ((True, False), "boolean"),
        ((True, None), "boolean"),
        (("TRUE", "false"), "boolean"),
        (("yes", "no"), "category"),
        ((0, 1), "number"),
        ((0.5, None), "number"),
        (("1", "2"), "category"),
        (("2024-05-31", "2024-06-01T12:00:00Z"), "datetime"),
        (("2024-05-31", "2024-06-41"), "category"),
        ((pd.Timestamp("2024-05-31"),), "datetime"),
        (tuple(f"pass{n}" for n in range(30)), "text"),
        (tuple("abc") * 30, "category"),
        (("a long sentence that goes on and on and on, for ever",) * 3, "text"),
    ],
)
def test_a_column_has_the_kind_that_its_values_show(values: tuple[Any, ...], kind: str) -> None:
    assert kind_of(*values) == kind


@pytest.mark.parametrize(
    ("target", "task"),
    [
        (pd.Series(["yes", "no"]), "classification"),
        (pd.Series([True, False]), "classification"),
        (pd.Series([0, 1, 2] * 50), "classification"),
        (pd.Series([0.0, 1.0, None]), "classification"),
        (pd.Series([0.5, 1.5]), "regression"),
        (pd.Series(range(40)), "regression"),
        (pd.Series(list(range(40)) * 50), "classification"),
    ],
)
def test_the_task_follows_from_the_target(target: pd.Series[Any], task: str) -> None:
    assert tables.infer_task(target) == task


def test_classes_are_text_as_people_write_them() -> None:
    frame = tables.usable_rows(pd.DataFrame({"t": [1.0, None, 2.0]}), "t")

    assert tables.targets_of(frame["t"], "classification").tolist() == ["1", "2"]
    assert tables.targets_of(pd.Series([True]), "classification").tolist() == ["true"]
    assert tables.targets_of(pd.Series(["yes"]), "classification").tolist() == ["yes"]


def test_rows_without_a_target_are_dropped() -> None:
    frame = pd.DataFrame({"a": [1, 2, 3, 4], "t": [0.5, np.nan, np.inf, 1.5]})

    assert tables.usable_rows(frame, "t")["a"].tolist() == [1, 4]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"cultivars": [1]}), "did you mean 'cultivars'"),
        (pd.DataFrame({"cultivar": [None]}), "no value"),
        (pd.DataFrame([[1, 2]], columns=["cultivar", "cultivar"]), "same name"),
    ],
)
def test_a_table_without_usable_targets_is_refused(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tables.usable_rows(frame, "cultivar")


def test_a_declaration_overrules_the_data() -> None:
    frame = pd.DataFrame({"year": [2001, 2002], "t": [0, 1]})

    declared = {"year": {"kind": "category", "required": False}}
    schema = tables.infer_schema(frame, target="t", declared=declared)

    assert schema.features == (Feature("year", "category", False, ("2001", "2002")),)
    assert tables.instances_of(frame, schema)[0] == {"year": "2001"}


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"yaer": {}}, "did you mean 'year'"),
        ({"year": {"kind": "nunber"}}, "did you mean 'number'"),
        ({"name": {"kind": "number"}}, "'name' is no number"),
        ({"name": {"kind": "boolean"}}, "neither true nor false"),
        ({"name": {"kind": "datetime"}}, "'name' is no datetime"),
    ],
)
def test_a_declaration_that_does_not_fit_the_data_is_refused(
    declared: dict[str, Any], message: str
) -> None:
    frame = pd.DataFrame({"year": [2001], "name": ["elm"], "t": [0]})

    with pytest.raises(ValueError, match=message):
        tables.infer_schema(frame, target="t", declared=declared)


def test_a_table_without_features_is_refused() -> None:
    with pytest.raises(ValueError, match="no column with values"):
        tables.infer_schema(pd.DataFrame({"a": [None], "t": [1]}), target="t")


def test_a_column_that_new_rows_lack_is_missing_in_all_of_them() -> None:
    schema = Schema((Feature("a", "number", required=False), Feature("b", "text", required=False)))

    encoded = tables.encode(pd.DataFrame({"c": [1, 2]}), schema)

    assert encoded["a"].isna().all()
    assert encoded["b"].tolist() == ["", ""]


cells = st.fixed_dictionaries(
    {
        "number": st.none() | st.floats(width=32) | st.integers(-(2**40), 2**40),
        "category": st.none() | st.sampled_from(["a", "b", "1"]),
        "text": st.none() | st.text(),
        "boolean": st.none() | st.booleans(),
        "datetime": st.none() | st.datetimes().map(str) | st.dates().map(str),
    }
)


@given(st.lists(cells, min_size=1, max_size=5))
def test_any_table_is_encoded_as_its_instances_are(rows: list[dict[str, Any]]) -> None:
    schema = Schema(tuple(Feature(kind, kind, required=False) for kind in get_args(Kind)))
    frame = pd.DataFrame(rows, dtype=object)

    instances = tables.instances_of(frame, schema)

    schema.check(instances)
    served = tables.framed(schema.columns(instances))
    pd.testing.assert_frame_equal(tables.encode(frame, schema), served)
