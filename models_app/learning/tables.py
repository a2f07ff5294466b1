"""Tables of base data: which features and task they hold, and their rows as instances."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models_app.learning.conventions import is_iso_date
from models_app.learning.kinds import KINDS, LARGEST, Kind, category_text, parse_moment
from models_app.learning.schema import Feature, Schema
from models_app.learning.spelling import unknown_name

Task = Literal["classification", "regression"]

# The column of a training table that says how much each row counts, where not all count alike.
WEIGHT = "everlearn_weight"

# More different strings than this are text: as categories each would be a column.
MOST_CATEGORIES = 255
FEW_VALUES = 20
LONG_TEXT = 40


def usable_rows(frame: pd.DataFrame, target: str) -> pd.DataFrame:
    """The rows whose target is known, in order and numbered anew.

    Raises ValueError when there is no such column, when two columns share a name, or when
    no row is left.
    """
    names = [str(name) for name in frame.columns]
    if target not in names:
        raise ValueError(unknown_name("column", target, names))
    if len(set(names)) != len(names):
        raise ValueError("two columns of the data have the same name")
    series = frame[target]
    known = series.notna() & ~series.isin([np.inf, -np.inf, ""])
    if not known.any():
        raise ValueError(f"column '{target}' has no value in any row")
    return frame[known].reset_index(drop=True)


def infer_task(target: pd.Series[Any]) -> Task:
    """Regression for fractions, and for whole numbers of which many differ.

    Many: more than 20 different ones that are also more than 5 % of the rows.
    """
    known = target.dropna()
    if not _is_numeric(known):
        return "classification"
    numbers = known.to_numpy(dtype=np.float64)
    if (numbers != np.round(numbers)).any():
        return "regression"
    different = len(np.unique(numbers))
    many = different > max(FEW_VALUES, 0.05 * len(numbers))
    return "regression" if many else "classification"


def default_metric(task: Task) -> str:
    """The scikit-learn scorer that a model is judged by unless it names one."""
    return "balanced_accuracy" if task == "classification" else "neg_root_mean_squared_error"


def targets_of(series: pd.Series[Any], task: Task) -> NDArray[Any]:
    """Known targets, shape (n,): classes as text (1.0 as "1", True as "true"), or float64.

    Raises ValueError when a target of a regression is not a number.
    """
    if task == "regression":
        return _numbers(series)
    classes = np.empty(len(series), dtype=object)
    classes[:] = [class_text(value) for value in _objects(series)]
    return classes


def class_text(value: Any) -> str:
    """A class or category as text, whole floats as the integers they stand for."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return category_text(value)


def infer_schema(
    frame: pd.DataFrame, *, target: str, declared: Mapping[str, Mapping[str, Any]] | None = None
) -> Schema:
    """The features in every column but the target; columns without any value are left out.

    A feature is required when no row misses it. declared: feature name to what overrules the
    data, `kind` and `required`. Raises ValueError for a declared feature that has no column,
    an unknown kind, values that do not fit the declared kind, or when no feature is left.
    """
    declared = declared or {}
    columns = [str(name) for name in frame.columns if name != target]
    for name in declared:
        if name not in columns:
            raise ValueError(unknown_name("feature", name, columns))
    features = [
        _infer_feature(name, frame[name], declared.get(name, {}))
        for name in columns
        if name in declared or frame[name].notna().any()
    ]
    if not features:
        raise ValueError(f"the data has no column with values besides the target '{target}'")
    return with_categories(Schema(tuple(features)), frame)


def instances_of(frame: pd.DataFrame, schema: Schema) -> list[dict[str, Any]]:
    """The rows as JSON objects that pass `schema.check`; what is missing is left out.

    Raises ValueError for a value that does not fit its feature's kind.
    """
    columns = [(one.name, _values(frame, one)) for one in schema.features]
    return [
        {name: values[row] for name, values in columns if values[row] is not None}
        for row in range(len(frame))
    ]


def encode(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """The rows as pipelines take them: equal to `schema.columns` of their instances.

    Raises ValueError for a value that does not fit its feature's kind.
    """
    columns: dict[str, NDArray[Any]] = {}
    for feature in schema.features:
        if feature.kind == "number" and feature.name in frame:
            columns[feature.name] = _numbers(frame[feature.name])
        else:
            columns |= feature.encode(_values(frame, feature))
    return framed({name: columns[name] for name in schema.column_names})


def with_categories(schema: Schema, frame: pd.DataFrame) -> Schema:
    """The schema with the categories that each category feature has in these rows."""
    features = tuple(
        replace(one, categories=tuple(sorted({v for v in _values(frame, one) if v})))
        if one.kind == "category"
        else one
        for one in schema.features
    )
    return replace(schema, features=features)


def framed(columns: Mapping[str, NDArray[Any]]) -> pd.DataFrame:
    """Encoded columns as the DataFrame that pipelines were fitted on; dtypes stay as they are."""
    return pd.DataFrame(
        {name: pd.Series(values, dtype=values.dtype) for name, values in columns.items()}
    )


def _infer_feature(name: str, series: pd.Series[Any], declared: Mapping[str, Any]) -> Feature:
    kind = declared.get("kind") or infer_kind(series)
    if kind not in KINDS:
        raise ValueError(f"feature '{name}': {unknown_name('kind', str(kind), KINDS)}")
    required = declared.get("required", None not in _canonical(name, series, kind))
    return Feature(name, kind, bool(required))


def infer_kind(series: pd.Series[Any]) -> Kind:
    """What a column with at least one value holds.

    true and false in any case are booleans; numbers are numbers, however few; dates start as
    2024-05-31. Other strings are text when more than 20 differ in more than half of the rows,
    when more than 255 differ, or when they have spaces and 40 characters on average; else
    categories.
    """
    known = series.dropna()
    if _is_numeric(known):
        return "number"
    texts = [_text(value) for value in _objects(known) if value != ""]
    if {text.lower() for text in texts} <= {"true", "false"}:
        return "boolean" if texts else "category"
    if all(is_iso_date(text) for text in texts):
        return "datetime"
    return kind_of_words(pd.Series(texts, dtype="str"))


def kind_of_words(texts: pd.Series[Any]) -> Kind:
    """Whether strings, of which there may be none, are categories or texts; see `infer_kind`."""
    different = texts.nunique()
    if different > MOST_CATEGORIES or different > max(FEW_VALUES, len(texts) / 2):
        return "text"
    long = texts.str.len().sum() > LONG_TEXT * len(texts)
    return "text" if long and texts.str.contains(" ", regex=False).any() else "category"


def _is_numeric(series: pd.Series[Any]) -> bool:
    if series.dtype == object:
        kinds = {type(value) for value in series}
        return bool(kinds) and all(
            issubclass(kind, int | float | np.number) and kind is not bool for kind in kinds
        )
    is_boolean = pd.api.types.is_bool_dtype(series.dtype)
    return bool(pd.api.types.is_numeric_dtype(series.dtype)) and not is_boolean


def _values(frame: pd.DataFrame, feature: Feature) -> list[Any]:
    """The feature's JSON values, None where missing, also when the whole column is."""
    if feature.name not in frame:
        return [None] * len(frame)
    return _canonical(feature.name, frame[feature.name], feature.kind)


def _canonical(name: str, series: pd.Series[Any], kind: Kind) -> list[Any]:
    if kind == "number":
        numbers = _numbers(series)
        whole = pd.api.types.is_integer_dtype(series.dtype)
        return [
            None if math.isnan(value) else int(value) if whole else value
            for value in numbers.tolist()
        ]
    canonical = {"boolean": _boolean, "datetime": _moment}.get(kind, class_text)
    if kind == "text":
        canonical = _text
    try:
        return [None if _is_missing(value) else canonical(value) for value in _objects(series)]
    except ValueError as error:
        raise ValueError(f"column '{name}' is no {kind}: {error}") from error


def _objects(series: pd.Series[Any]) -> list[Any]:
    return series.astype(object).tolist()


def _is_missing(value: Any) -> bool:
    return value is None or value == "" or bool(pd.isna(value))


def _numbers(series: pd.Series[Any]) -> NDArray[np.float64]:
    """float64 with NaN for what is missing, and for what no request could send: infinity, 1e31."""
    try:
        numbers = pd.to_numeric(series).to_numpy(dtype=np.float64, na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise ValueError(f"column '{series.name}' is no number: {error}") from error
    return np.where(np.abs(numbers) <= LARGEST, numbers, np.nan)


def _text(value: Any) -> str:
    if isinstance(value, date | datetime):
        return value.isoformat()
    return class_text(value)


def _boolean(value: Any) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}.get(_text(value).lower())
    if known is None:
        raise ValueError(f"{value!r} is neither true nor false")
    return known


def _moment(value: Any) -> str:
    text = _text(value)
    parse_moment(text)
    return text
