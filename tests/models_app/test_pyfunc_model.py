"""A registered version in MLflow's own hands: raw rows in, REST's answers out."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest
from django.conf import settings
from mlflow.exceptions import MlflowException

from tests.instance import wait_for
from tests.models_app.raw_rows import OPTIONAL, Registered, Row, framed, registered

pytestmark = pytest.mark.django_db

# -I: neither the working directory nor PYTHONPATH is looked at.
NOTEBOOK = """
import importlib.util, sys
assert importlib.util.find_spec("models_app") is None
sys.modules["django"] = None
import mlflow, pandas
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
answers = model.predict(pandas.read_csv(sys.argv[3]))
print(list(answers))
"""


def loaded(version: Registered) -> Any:
    mlflow.set_tracking_uri(settings.MLFLOW_TRACKING_URI)
    return mlflow.pyfunc.load_model(version.uri)


def answers(rows: pd.DataFrame | list[Row], *, params: Row | None = None) -> Any:
    return loaded(registered()).predict(rows, params=params)


def test_each_raw_row_gets_the_class_that_rest_answers() -> None:
    version = registered()

    given = answers(framed(version.rows))

    assert given.tolist() == version.values
    assert set(version.values) == {"yes", "no"}


def test_probabilities_are_those_of_rest() -> None:
    version = registered()

    given = answers(framed(version.rows), params={"predict_method": "predict_proba"})

    expected = pd.DataFrame([one["probabilities"] for one in version.predictions])
    assert list(given) == ["no", "yes"]
    np.testing.assert_allclose(given, expected[["no", "yes"]], atol=1e-4)


def test_each_raw_row_gets_the_number_that_rest_answers() -> None:
    version = registered("regression", "ridge")

    given = loaded(version).predict(framed(version.rows))

    assert given.dtype == np.float64
    np.testing.assert_allclose(given, version.values, rtol=1e-4, atol=1e-3)
    assert np.ptp(given) > 10


def test_the_signature_has_the_declared_features() -> None:
    info = mlflow.models.get_model_info(registered().uri)

    inputs = info.signature.inputs
    assert inputs.input_names() == [
        "joined", "active", "plan", "branch", "seats", "spend", "note", "renewed", "trial",
    ]  # fmt: skip
    assert tuple(inputs.optional_input_names()) == OPTIONAL
    assert info.metadata
    assert info.metadata["kinds"]["joined"] == "datetime"
    assert info.signature.outputs.input_types() == [mlflow.types.DataType.string]
    assert info.saved_input_example_info is None  # rows may be people's


def test_rows_may_be_what_pandas_and_numpy_make_of_them() -> None:
    version = registered()
    rows = framed(version.rows)

    other = rows.assign(
        joined=pd.to_datetime(rows["joined"]),
        active=rows["active"].map(np.bool_).astype(object),
        plan=rows["plan"].astype("category"),
        branch=rows["branch"].astype("Int64"),
        seats=rows["seats"].astype("int16"),
        spend=rows["spend"].map(lambda one: None if np.isnan(one) else Decimal(str(one))),
        note=rows["note"].astype(object),
        trial=rows["trial"].astype("boolean"),
    )
    days = rows.assign(joined=[date.fromisoformat(one) for one in rows["joined"]])

    assert answers(other).tolist() == version.values
    assert answers(days).tolist() == version.values
    assert answers(list(version.rows)).tolist() == version.values


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT, "no column"])
def test_optional_features_may_be_missing_from_every_row(missing: Any) -> None:
    """A single row or column of NaN is no column of texts to pandas."""
    version = registered()
    row = {name: value for name, value in version.rows[0].items() if name not in OPTIONAL}
    cells = {} if isinstance(missing, str) else dict.fromkeys(OPTIONAL, missing)

    given = answers(pd.DataFrame([row | cells]))

    assert given.tolist() == answers([row]).tolist()


def test_further_columns_and_unseen_categories_change_nothing() -> None:
    version = registered()
    rows = framed(version.rows)
    further = rows.assign(left="yes", id=range(len(rows)))
    unseen = rows.assign(plan="never seen", branch=77)

    assert answers(further).tolist() == version.values
    assert set(answers(unseen)) <= {"yes", "no"}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("active", "false", "rows.0.active: true or false is expected, not a string"),
        ("seats", "12", "rows.0.seats: A number is expected, not a string"),
        ("joined", "soon", "rows.0.joined: An ISO 8601 date or time"),
        ("plan", 1.5, "rows.0.plan: A string, an integer or a boolean is expected"),
        ("note", ["a"], "rows.0.note: A string is expected, not an array"),
        ("plan", None, "rows.0.plan: This feature may not be null"),
    ],
)
def test_what_rest_refuses_is_refused_with_its_words(name: str, value: Any, words: str) -> None:
    with pytest.raises(MlflowException, match=words):
        answers([{**registered().rows[0], name: value}])


def test_a_row_without_a_required_feature_is_refused() -> None:
    with pytest.raises(MlflowException, match=r"missing inputs \['joined'\]"):
        answers(framed(registered().rows).drop(columns="joined"))


def test_no_rows_are_refused() -> None:
    with pytest.raises(MlflowException, match="At least one row"):
        answers(framed(registered().rows).head(0))


def test_probabilities_that_an_estimator_does_not_give_are_refused() -> None:
    version = registered("regression", "ridge")

    with pytest.raises(MlflowException, match="has no predict_method 'predict_proba'"):
        loaded(version).predict(framed(version.rows), params={"predict_method": "predict_proba"})


def test_a_notebook_needs_no_everlearn(tmp_path: Path) -> None:
    version, data = registered(), tmp_path / "rows.csv"
    framed(version.rows).to_csv(data, index=False)

    done = subprocess.run(
        [sys.executable, "-I", "-c", NOTEBOOK, settings.MLFLOW_TRACKING_URI, version.uri, data],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == str(version.values)


def test_versions_of_several_models_answer_in_one_process_beside_everlearn() -> None:
    classes, numbers = registered(), registered("regression", "ridge")
    first, second = loaded(classes), loaded(numbers)

    import models_app.learning.schema as ours

    assert first.predict(framed(classes.rows)).tolist() == classes.values
    assert second.predict(framed(numbers.rows)) == pytest.approx(numbers.values, rel=1e-3)
    assert Path(ours.__file__).is_relative_to(settings.BASE_DIR)


def test_its_requirements_are_pinned_and_name_nothing_of_ours() -> None:
    path = mlflow.artifacts.download_artifacts(f"{registered().uri}/requirements.txt")

    lines = Path(path).read_text().split()

    assert all("==" in line for line in lines)
    assert {line.partition("==")[0] for line in lines} >= {"mlflow", "pandas", "scikit-learn"}
    assert not [line for line in lines if "django" in line.lower() or "everlearn" in line.lower()]


def test_the_estimator_itself_still_takes_encoded_rows() -> None:
    estimator = mlflow.sklearn.load_model(registered().uri)

    assert "joined__year" in estimator.feature_names_in_


def test_the_folder_holds_little_more_than_before() -> None:
    folder = Path(mlflow.artifacts.download_artifacts(registered().uri))

    code = (folder / "code").rglob("*.py")

    assert sum(file.stat().st_size for file in code) < 40_000


@contextmanager
def served(version: Registered, log: Path) -> Iterator[str]:
    """The address of `mlflow models serve` of that version."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", version.uri,
        "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {"PATH": path, "MLFLOW_TRACKING_URI": settings.MLFLOW_TRACKING_URI}
    with (
        log.open("w") as out,
        subprocess.Popen(
            command, cwd=log.parent, env=environ, stdout=out, stderr=out, start_new_session=True
        ) as process,
    ):
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: _is_up(f"{url}/ping"), seconds=60)
            yield f"{url}/invocations"
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def _is_up(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def test_mlflow_models_serve_answers_raw_rows(tmp_path: Path) -> None:
    version = registered()
    rows, whole = list(version.rows), framed(version.rows).drop(columns=[*OPTIONAL])
    split = json.loads(whole.to_json(orient="split", index=False))
    wrong = [{**rows[0], "active": "false"}]

    with served(version, tmp_path / "serve.log") as url:
        records, inputs, split_up, refused = (
            httpx.post(url, json=body, timeout=30)
            for body in (
                {"dataframe_records": rows},
                {"inputs": rows, "params": {"predict_method": "predict_proba"}},
                {"dataframe_split": split},
                {"dataframe_records": wrong},
            )
        )

    assert records.json() == {"predictions": version.values}
    assert inputs.json()["predictions"][0] == pytest.approx(
        version.predictions[0]["probabilities"], abs=1e-4
    )
    assert split_up.json()["predictions"] == answers(whole).tolist()
    assert refused.status_code == 400
    assert "rows.0.active: true or false is expected" in refused.json()["message"]
