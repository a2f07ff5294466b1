"""Skops files that would run, read or call what is not theirs."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from models_app import bundles
from tests.factories import SHORT
from tests.models_app.runtimes.attacks import (
    attribute,
    attributes,
    empty_dict,
    fitted,
    of,
    plain,
    refusal,
    refused_estimator,
    stored,
    tampered,
    tuple_of,
    typed,
)


def reading(vectorizer: Any) -> Pipeline:
    """A pipeline that opens the file whose name stands in a row."""
    rows = pd.DataFrame({"path": np.array(["/dev/null", "/dev/null"], dtype=object)})
    columns = ColumnTransformer([("text", vectorizer, "path")], sparse_threshold=0.0)
    last = KNeighborsClassifier(1, algorithm="brute")
    made = Pipeline([("columns", columns), ("estimator", last)])
    columns.fit(rows)
    width = columns.transform(rows.iloc[:1]).shape[1]
    last.fit(np.arange(2 * width, dtype=np.float32).reshape(2, width), ["elm", "oak"])
    return made


VOCABULARY = {character: place for place, character in enumerate("abc")}


@pytest.mark.parametrize(
    "vectorizer",
    [
        CountVectorizer(input="filename", vocabulary=VOCABULARY, token_pattern=r"(?s)\A(.)"),
        TfidfVectorizer(input="file", vocabulary=VOCABULARY),
        HashingVectorizer(input="filename", n_features=8),
    ],
    ids=["count", "tf-idf", "hashing"],
)
def test_a_vectorizer_that_opens_files_is_refused(vectorizer: Any) -> None:
    if isinstance(vectorizer, TfidfVectorizer):
        made = fitted(LogisticRegression())
        vectorizer.set_params(input="content").fit(["a b"])
        made.steps.insert(0, ("text", vectorizer.set_params(input="file")))
    else:
        made = reading(vectorizer)
    features = [{"name": "path", "kind": "text", "required": True}]

    why = refusal("estimator.skops", skops.io.dumps(made), features=features)

    assert 'input = "content"' in why


@pytest.mark.parametrize(
    "changed",
    [
        {"token_pattern": r"(a+)+$"},
        {"ngram_range": (1, 10**9)},
        {"vocabulary_": {"a": 0, "b": 2**40}},
        {"vocabulary_": {"a": -5, "b": 0}},
        {"preprocessor": np.log1p},
        {"tokenizer": np.log1p},
        {"analyzer": np.log1p},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_vectorizer_with_dangerous_parameters_is_refused(changed: dict[str, Any]) -> None:
    vectorizer = CountVectorizer(token_pattern=r"[^ ]+").fit(["a b"])
    vars(vectorizer).update(changed)

    refused_estimator(make_pipeline(vectorizer, LogisticRegression()))


def with_function(module: str, name: str) -> Any:
    estimator = make_pipeline(FunctionTransformer(np.log1p), fitted(LogisticRegression()))

    def change(schema: Any, _: Any) -> None:
        attribute(schema, "FunctionTransformer", "func", typed(module, name, "FunctionNode"))

    return estimator, change


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"), ("builtins", "getattr"), ("builtins", "eval"), ("numpy", "load"),
        ("numpy", "loadtxt"), ("numpy", "fromfile"), ("numpy", "memmap"), ("joblib", "load"),
        ("pickle", "loads"), ("sklearn.datasets", "load_files"), ("operator", "methodcaller"),
        ("numpy.lib._utils_impl", "log1p"), ("numpy", "frompyfunc"),
    ],
)  # fmt: skip
def test_a_function_outside_of_the_list_is_refused(module: str, name: str) -> None:
    assert f"{module}.{name}" in refused_estimator(*with_function(module, name))


def test_a_listed_function_stands_only_where_it_belongs() -> None:
    def change(schema: Any, _: Any) -> None:
        node = typed("numpy", "log1p", "FunctionNode")
        attribute(schema, "LogisticRegression", "random_state", node)

    assert "numpy.log1p" in refused_estimator(fitted(LogisticRegression()), change)


def test_arguments_for_a_function_are_refused() -> None:
    transformer = FunctionTransformer(np.log1p, kw_args={"out": np.zeros(3)})

    assert "kw_args" in refused_estimator(make_pipeline(transformer, LogisticRegression()))


TOUCHED = "touched"


def method() -> Any:
    owner = typed("builtins", "list", "ListNode", content=[])
    return typed("builtins", "list", "MethodNode", content={"func": "append", "obj": owner})


def partial() -> Any:
    function = typed("pathlib", "Path", "TypeNode")
    content = {"func": function, "args": tuple_of(plain(TOUCHED)), "kwds": empty_dict()}
    return typed(
        "functools", "partial", "PartialNode", content=content | {"namespace": plain(None)}
    )


def constructed() -> Any:
    return typed("pathlib", "Path", "ConstructorFromReduceNode", content=tuple_of(plain(TOUCHED)))


STRANGE = {
    "method": method(),
    "method of another class than it says": typed(
        "sklearn.linear_model._logistic", "LogisticRegression", "MethodNode",
        content={"func": "tofile", "obj": typed("numpy", "ndarray", "ListNode", content=[])},
    ),
    "partial": partial(),
    "operator": typed("operator", "methodcaller", "OperatorFuncNode", attrs=tuple_of(plain("x"))),
    "operator that says it is something else": typed(
        "builtins", "call", "OperatorFuncNode", attrs=tuple_of(plain("x"))
    ),
    "constructor": constructed(),
    "cached": typed("builtins", "str", "CachedNode"),
    "bytes": typed("builtins", "bytes", "BytesNode", file="x.bin"),
    "loader that there is not": typed("builtins", "str", "EvilNode"),
    "type as a list": typed("subprocess", "Popen", "ListNode", content=[plain("true")]),
    "type as a dict": typed("os", "environ", "DictNode", content={}, key_types=plain(None)),
    "type as a number": typed("builtins", "open", "NdArrayNode", type="numpy", file="x.npy"),
    "type as a tree": typed("os", "system", "TreeNode", content=empty_dict()),
    "type as a loss": typed("subprocess", "Popen", "LossNode", content=empty_dict(),
                            __reduce__={"args": tuple_of(plain("true"))}),
    "type as an object": typed("pathlib", "Path", "ObjectNode", content=empty_dict()),
    "estimator as a function": typed("sklearn.linear_model._logistic", "LogisticRegression",
                                     "FunctionNode"),
    "estimator that is not on the list": typed("sklearn.cluster._birch", "Birch", "ObjectNode",
                                               content=empty_dict()),
    "type of a bare name": typed("numpy", "memmap", "TypeNode"),
    "generator": typed("numpy.random._generator", "Generator", "RandomGeneratorNode",
                       content={"bit_generator": empty_dict(), "seed_seq": empty_dict()}),
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGE)
def test_a_node_of_another_kind_is_refused_and_never_built(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def change(schema: Any, _: Any) -> None:
        attribute(schema, "LogisticRegression", "class_weight", STRANGE[name])

    refused_estimator(fitted(LogisticRegression()), change)

    assert list(tmp_path.iterdir()) == []


def test_a_node_that_borrows_the_identity_of_another_is_refused() -> None:
    """skops builds the first of them for both, whatever the second one says."""

    def change(schema: Any, _: Any) -> None:
        harmless = attributes(of(schema, "CountVectorizer"))["encoding"]
        asked = attributes(of(schema, "CountVectorizer"))["input"]
        harmless["content"], harmless["__id__"] = '"filename"', asked["__id__"]

    vectorizer = CountVectorizer(token_pattern=r"[^ ]+").fit(["a b"])
    made = make_pipeline(vectorizer, LogisticRegression())

    assert "identity" in refused_estimator(made, change)


@pytest.mark.parametrize("name", ["predict", "__class__", "_validate_params", "get_params"])
def test_an_attribute_in_the_place_of_a_method_is_refused(name: str) -> None:
    def change(schema: Any, _: Any) -> None:
        attribute(schema, "LogisticRegression", name, plain("x"))

    assert name in refused_estimator(fitted(LogisticRegression()), change)


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_jobs", 10**9), ("n_jobs", "many"), ("memory", "/tmp/cache"), ("cache_dir", "/tmp")],  # noqa: S108
)
def test_parameters_for_threads_and_folders_are_bounded(name: str, value: Any) -> None:
    def change(schema: Any, _: Any) -> None:
        attribute(schema, "LogisticRegression", name, plain(value))

    assert name in refused_estimator(fitted(LogisticRegression()), change)


@pytest.mark.parametrize("value", [3, -1, True, None, "2", 2.0])
def test_a_file_of_another_protocol_is_refused(value: Any) -> None:
    def change(schema: Any, _: Any) -> None:
        schema["protocol"] = value

    assert "protocol" in refused_estimator(fitted(LogisticRegression()), change)


def packed(members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a doubled name
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (packed([("schema.json", b" " * 10**8)], zipfile.ZIP_DEFLATED), "compressed"),
        (packed([("schema.json", b"{}"), ("schema.json", b"{}")]), "two members"),
        (packed([("other.json", b"{}")]), "no schema.json"),
        (packed([("schema.json", b"[" * 10**6)]), "no JSON"),
        (packed([("schema.json", b"[]")]), "no object"),
        (packed([("schema.json", b"{}")])[:-30], "no zip"),
        (b"", "no zip"),
    ],
    ids=["bomb", "doubled", "lacking", "nested", "list", "cut", "empty"],
)  # fmt: skip
def test_a_zip_that_skops_did_not_write_is_refused(file: bytes, why: str) -> None:
    assert why in refusal("estimator.skops", file)


def test_a_member_that_nothing_names_is_refused() -> None:
    def change(_: Any, members: Any) -> None:
        members["evil.npy"] = b"x"

    assert "evil.npy" in refused_estimator(fitted(LogisticRegression()), change)


def test_a_schema_nested_too_deep_is_refused() -> None:
    def change(schema: Any, _: Any) -> None:
        node = plain(None)
        for _ in range(100):
            node = tuple_of(node)
        attribute(schema, "LogisticRegression", "class_weight", node)

    assert "deep" in refused_estimator(fitted(LogisticRegression()), change)


def npy(header: str, data: bytes = b"") -> bytes:
    padded = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded.encode() + data


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04",
        b"\x80\x04cos\nsystem\n.",
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"\x80\x04."),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (10**12,), }"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }", b"x" * 8),
        npy("{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000000,), }"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", b"x" * 8),
    ],
    ids=["zip", "pickle", "objects", "expression", "huge", "empty items", "short"],
)
def test_an_array_that_is_not_what_it_says_is_refused(content: bytes) -> None:
    def change(schema: Any, members: Any) -> None:
        members[attributes(of(schema, "LogisticRegression"))["coef_"]["file"]] = content

    assert "arra" in refused_estimator(fitted(LogisticRegression()), change)


def test_an_estimator_that_was_not_changed_answers() -> None:
    file = tampered(skops.io.dumps(fitted(LogisticRegression())), lambda *_: None)

    bundle = bundles.load(stored("estimator.skops", file, has_probabilities=True))

    assert bundle.answer(bundle.schema.columns([SHORT])).values.tolist() == ["elm"]
