"""ONNX graphs that would read files, run for ever, take all memory or leave their own."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from models_app import bundles
from models_app.conversion import make_bundle
from models_app.learning import pipeline, tables
from models_app.refusals import ModelFailed
from models_app.runtimes import onnx as onnx_runtime
from models_app.runtimes.onnx import OnnxRuntime
from tests.factories import SCHEMA, leaves
from tests.models_app.runtimes.attacks import refusal

ROWS = helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, 2])
VALUE = helper.make_tensor_value_info("value", TensorProto.FLOAT, None)


def weights(name: str, *shape: int, value: float = 1.0) -> TensorProto:
    return numpy_helper.from_array(np.full(shape, value, np.float32), name)


def whole(name: str, *values: int) -> TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def outside(name: str = "w", size: int = 8) -> TensorProto:
    """Weights that lie in a file of the working directory."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[size])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "secret"), ("offset", "0"), ("length", str(4 * size))):
        tensor.external_data.add(key=key, value=value)
    return tensor


def model(*nodes: NodeProto, known: tuple[TensorProto, ...] = (), version: int = 18) -> ModelProto:
    graph = helper.make_graph([*nodes], "attack", [ROWS], [VALUE], [*known])
    opsets = [("", version), ("ai.onnx.ml", 3), ("com.microsoft", 1)]
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid(*one) for one in opsets], ir_version=8
    )


def node(name: str, *inputs: str, domain: str = "", gives: str = "value", **rest: Any) -> NodeProto:
    return helper.make_node(name, [*(inputs or ("rows",))], [gives], domain=domain, **rest)


def refused(made: ModelProto, **manifest: Any) -> str:
    return refusal("model.onnx", made.SerializeToString(), **manifest)


def in_body(*nodes: NodeProto, known: tuple[TensorProto, ...] = ()) -> NodeProto:
    """A Scan over the rows, with this as what it does for each."""
    row = helper.make_tensor_value_info("row", TensorProto.FLOAT, None)
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    body = helper.make_graph([*nodes], "body", [row], [out], [*known])
    return node("Scan", body=body, num_scan_inputs=1)


def condition(then: TensorProto) -> NodeProto:
    def branch(name: str) -> Any:
        return helper.make_graph([node("Identity", "w", gives=name)], name, [],
                                 [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
                                 [then])  # fmt: skip

    return node("If", "flag", then_branch=branch("yes"), else_branch=branch("no"))


def with_function() -> ModelProto:
    made = model(node("Secret", domain="local"))
    made.opset_import.append(helper.make_opsetid("local", 1))
    made.functions.append(
        helper.make_function(
            "local",
            "Secret",
            ["x"],
            ["y"],
            [helper.make_node("Identity", ["x"], ["y"])],
            [helper.make_opsetid("", 18)],
        )
    )
    return made


def sparse() -> ModelProto:
    made = model(node("Identity", "w"))
    made.graph.sparse_initializer.append(
        helper.make_sparse_tensor(outside("w", 1), whole("places", 0), [5])
    )
    return made


def with_training() -> ModelProto:
    made = model(node("Identity"))
    made.training_info.add().algorithm.initializer.append(outside())
    return made


def with_settings() -> ModelProto:
    made = model(node("Identity"))
    made.metadata_props.add(key="ort_config", value='{"session_options": {}}')
    return made


OUTSIDE = {
    "initializer": (model(node("Add", "rows", "w"), known=(outside(size=2),)), "external data"),
    "attribute": (
        model(node("Shape", gives="size"), node("ConstantOfShape", "size", value=outside(size=1))),
        "external data",
    ),
    "constant": (model(node("Constant", value=outside())), "Constant"),
    "body": (
        model(in_body(node("Add", "row", "w", gives="out"), known=(outside(size=2),))),
        "external",
    ),
    "branch": (model(condition(outside())), "ai.onnx:If"),
    "sparse": (sparse(), "sparse"),
    "training": (with_training(), "training"),
}


@pytest.mark.parametrize("place", OUTSIDE)
def test_weights_in_a_file_are_refused_wherever_they_stand(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_bytes(b"EVERLEARN_SECRET_KEY=" + b"x" * 100)
    monkeypatch.chdir(tmp_path)
    made, why = OUTSIDE[place]

    assert why in refused(made)


LOOP = helper.make_node("Loop", ["times", "", "rows"], ["value"], body=helper.make_graph(
    [], "body", [], []))  # fmt: skip
OPERATORS = {
    "Loop": LOOP,
    "If": condition(weights("w", 1)),
    "SequenceMap": node("SequenceMap", body=helper.make_graph([], "body", [], [])),
    "Tile": node("Tile", "rows", "times"),
    "Expand": node("Expand", "rows", "times"),
    "Range": node("Range", "rows", "rows", "rows"),
    "Resize": node("Resize"),
    "Pad": node("Pad", "rows", "times"),
    "GatherND": node("GatherND", "rows", "times"),
    "RandomNormal": node("RandomNormal", shape=[10**9]),
    "EyeLike": node("EyeLike"),
    "StringNormalizer": node("StringNormalizer", domain="ai.onnx.ml"),
    "RegexFullMatch": node("RegexFullMatch", pattern="(a+)+$"),
    "ImageDecoder": node("ImageDecoder"),
    "FusedMatMul": node("FusedMatMul", "rows", "rows", domain="com.microsoft"),
    "BeamSearch": node("BeamSearch", domain="com.microsoft"),
    "Custom": node("Custom", domain="evil.example"),
    "PyOp": node("PyOp", domain="ai.onnx.contrib"),
    "EPContext": node("EPContext", domain="com.microsoft", ep_cache_context=b"secret"),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_outside_of_the_list_is_refused_by_name(name: str) -> None:
    made = model(OPERATORS[name], known=(whole("times", 10**6), weights("flag", 1)))

    assert name in refused(made)


@pytest.mark.parametrize("version", [8, 19, 2**40])
def test_operators_of_a_version_that_was_not_looked_at_are_refused(version: int) -> None:
    assert "version" in refused(model(node("Identity"), version=version))


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (with_function(), "functions of its own"),
        (with_settings(), "settings"),
        (model(in_body(node("Loop", "row", gives="out"))), "Loop"),
        (model(in_body(in_body(node("Identity", "row", gives="out")))), "Scan"),
        (model(in_body(node("Add", "row", "rows", gives="out"))), "does not have"),
        (model(node("Add", "rows", "later"), node("Exp", gives="later")), "not yet"),
        (model(node("Exp"), node("Exp")), "two values"),
        (model(node("Exp", gives="other")), "does not have"),
        (model(node("Softmax", axis=weights("axis", 1))), "another type"),
        (model(node("Exp", secret=1)), "secret"),
    ],
    ids=["function", "settings", "loop in a scan", "scan in a scan", "outer value", "later value",
         "value twice", "no value", "attribute of another type", "unknown attribute"],
)  # fmt: skip
def test_a_graph_that_is_more_than_a_graph_is_refused(made: ModelProto, why: str) -> None:
    assert why in refused(made)


def outer_product() -> ModelProto:
    """0.8 MB that make 160 GB of one row."""
    return model(
        node("ReduceSum", gives="sum"),
        node("MatMul", "sum", "w", gives="wide"),
        node("Transpose", "wide", gives="high", perm=[1, 0]),
        node("MatMul", "high", "wide", gives="square"),
        node("ReduceSum", "square"),
        known=(weights("w", 1, 200_000),),
    )


def constants() -> ModelProto:
    return model(
        node("Add", "high", "wide", gives="square"),
        node("ReduceSum", "square", gives="sum"),
        node("Add", "rows", "sum"),
        known=(weights("high", 100_000, 1), weights("wide", 1, 100_000)),
    )


def doubling() -> ModelProto:
    names = ["rows", *(f"twice_{turn}" for turn in range(40)), "value"]
    return model(
        *(node("Concat", before, before, gives=after, axis=1)
          for before, after in pairwise(names))
    )  # fmt: skip


@pytest.mark.parametrize(
    "made",
    [
        outer_product(),
        constants(),
        doubling(),
        model(node("ConstantOfShape", "n"), known=(whole("n", 10**6, 10**6),)),
        model(
            node("Gather", "w", "places"),
            known=(weights("w", 1, 10**5), whole("places", *[0] * 5 * 10**4)),
        ),
    ],
    ids=["outer product", "constants", "doubling", "constant of a shape", "gather"],
)
def test_a_small_graph_that_takes_all_memory_is_refused(made: ModelProto) -> None:
    assert made.ByteSize() < 2**20

    assert "numbers" in refused(made)


def test_a_graph_whose_size_depends_on_a_row_fails_where_memory_ends() -> None:
    """Asked for 64 GB by a row, which nothing shows beforehand."""
    made = model(
        node("Cast", gives="size", to=TensorProto.INT64),
        node("Reshape", "size", "flat", gives="shape"),
        node("ConstantOfShape", "shape", gives="filled"),
        node("ReduceSum", "filled"),
        known=(whole("flat", -1),),
    )
    runtime = OnnxRuntime(
        made.SerializeToString(), inputs=[["length", "width"]], classes=(), has_probabilities=False
    )

    with pytest.raises(ModelFailed):
        runtime.answer({name: np.array([128_000.0]) for name in SCHEMA.names}, within=10)


def ml(name: str, **attributes: Any) -> ModelProto:
    return model(node(name, domain="ai.onnx.ml", **attributes))


SVM = {"kernel_type": "RBF", "kernel_params": [1.0, 0.0, 3.0], "rho": [0.0]}
OTHERS: dict[str, ModelProto] = {
    "regressor": ml("LinearRegressor", coefficients=[1.0], intercepts=[0.0]),
    "regressor of many": ml("LinearRegressor", coefficients=[1.0, 1.0], targets=10**6),
    "classifier": ml("LinearClassifier", coefficients=[1.0] * 3, intercepts=[0.0, 0.0],
                     classlabels_ints=[0, 1]),
    "labels": ml("LinearClassifier", coefficients=[1.0] * 6, intercepts=[0.0] * 3,
                 classlabels_ints=[0, 1]),
    "imputer": ml("Imputer", imputed_value_floats=[1.0] * 7),
    "scaler": ml("Scaler", offset=[1.0] * 7, scale=[1.0] * 7),
    "support vectors": ml("SVMRegressor", coefficients=[1.0], n_supports=1,
                          support_vectors=[1.0] * 9, **SVM),
    "support vectors by class": ml("SVMClassifier", coefficients=[1.0] * 2, **SVM,
                                   vectors_per_class=[1, 2**30], support_vectors=[1.0] * 4,
                                   classlabels_ints=[0, 1]),
    "encoder": ml("LabelEncoder", keys_floats=[1.0, 2.0], values_int64s=[1]),
    "words": model(node("Tokenizer", domain="com.microsoft", tokenexp="(a+)+$", mark=0,
                        mincharnum=1, pad_value="#")),
    "n-grams": model(node("TfIdfVectorizer", ngram_counts=[0], ngram_indexes=[2**40], mode="TF",
                          pool_strings=["a"], min_gram_length=1, max_gram_length=1,
                          max_skip_count=0)),
    "n-grams of a wrong pool": model(node("TfIdfVectorizer", ngram_counts=[0, 2**40], mode="TF",
                                          ngram_indexes=[0], pool_strings=["a"],
                                          min_gram_length=1, max_gram_length=2,
                                          max_skip_count=0)),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_attributes_that_do_not_fit_each_other_are_refused(name: str) -> None:
    refused(OTHERS[name])


@pytest.mark.parametrize(
    "content",
    [b"", b"ORTM" * 20, b"\x08\x08\x12\x04ORTM", b"\x80\x04cos\nsystem\n.", b"\x0a" * 5000],
    ids=["empty", "other format", "other format within", "pickle", "noise"],
)
def test_bytes_that_are_no_graph_are_refused(content: bytes) -> None:
    refusal("model.onnx", content)


def test_a_graph_with_other_inputs_than_its_manifest_is_refused() -> None:
    assert "manifest" in refused(model(node("Identity")), inputs=[["length"], ["width"]])


def converted() -> bundles.Bundle:
    estimator = pipeline.build("random-forest", schema=SCHEMA, task="classification", seed=0)
    estimator.set_params(estimator__n_estimators=3)
    estimator.fit(tables.encode(leaves(), SCHEMA), leaves()["kind"].to_numpy(dtype=object))
    made = make_bundle(
        estimator, name="leaves", schema=SCHEMA, task="classification", classes=("elm", "oak"),
        instances=tables.instances_of(leaves(), SCHEMA),
    )  # fmt: skip
    assert made.runtime == "onnx"
    return bundles.load(made.digest)


def test_a_graph_is_looked_at_once_and_not_for_each_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, looked = converted(), []
    monkeypatch.setattr(onnx_runtime, "checked", lambda *given: looked.append(given))
    columns = bundle.schema.columns(tables.instances_of(leaves(5), SCHEMA))

    for _ in range(3):
        bundle.answer(columns)

    assert not looked
