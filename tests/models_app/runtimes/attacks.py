"""Bundles that somebody changed by hand: real files, in the real storage, of a right digest."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from itertools import count
from typing import Any

import numpy as np
import onnxruntime
import pytest
import sklearn
import skops.io

from models_app import bundles
from models_app.learning import pipeline, tables
from models_app.refusals import BundleRefused
from tests.factories import SCHEMA, SHORT, leaves

Schema = dict[str, Any]
Members = dict[str, bytes]
Change = Callable[[Schema, Members], object]

_identities = count(7)


def fitted(estimator: Any, frame: Any = None) -> Any:
    """A pipeline with this estimator as its last step, fitted on leaves."""
    frame = leaves() if frame is None else frame
    made = pipeline.build("ridge", schema=SCHEMA, task="classification", seed=0)
    made.steps[-1] = ("estimator", estimator)
    return made.fit(tables.encode(frame, SCHEMA), frame["kind"].to_numpy(dtype=object))


def tampered(file: bytes, change: Change) -> bytes:
    """A skops file with its schema or members changed, packed as skops packs them."""
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members.pop("schema.json"))
    change(schema, members)
    members["schema.json"] = json.dumps(schema).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def nodes(within: Any) -> Iterator[Schema]:
    """Every node of a schema."""
    if isinstance(within, dict):
        if "__loader__" in within:
            yield within
        for value in list(within.values()):
            yield from nodes(value)
    elif isinstance(within, list):
        for value in within:
            yield from nodes(value)


def of(schema: Schema, name: str) -> Schema:
    """The first node of a class."""
    return next(node for node in nodes(schema) if node["__class__"] == name)


def attributes(node: Schema) -> Schema:
    """The attributes of an object's node."""
    found: Schema = node["content"]["content"]
    return found


def attribute(schema: Schema, class_name: str, name: str, node: Schema) -> None:
    """Give the first object of a class another attribute."""
    state = of(schema, class_name)["content"]
    if name not in state["content"]:
        state["key_types"]["content"].append(typed("builtins", "str", "TypeNode"))
    state["content"][name] = node


def typed(module: str, name: str, loader: str, **rest: Any) -> Schema:
    identity = next(_identities)
    return {
        "__module__": module,
        "__class__": name,
        "__loader__": loader,
        "__id__": identity,
        **rest,
    }


def plain(value: Any) -> Schema:
    return typed("builtins", "str", "JsonNode", content=json.dumps(value), is_json=True)


def tuple_of(*items: Schema) -> Schema:
    return typed("builtins", "tuple", "TupleNode", content=list(items))


def empty_dict() -> Schema:
    keys = typed("builtins", "list", "ListNode", content=[])
    return typed("builtins", "dict", "DictNode", content={}, key_types=keys)


def array(node: Schema, members: Members, change: Callable[[Any], Any]) -> None:
    """Change the array that a node names."""
    before = np.load(io.BytesIO(members[node["file"]])).copy()
    after = change(before)
    packed = io.BytesIO()
    np.save(packed, before if after is None else after)
    members[node["file"]] = packed.getvalue()


@cache
def _smoke() -> bytes:
    return json.dumps({"instances": [SHORT], "values": ["elm"], "probabilities": None}).encode()


def stored(name: str, content: bytes, **manifest: Any) -> str:
    """The digest of a bundle of leaves with this as what answers."""
    runtime = {"model.onnx": "onnx", "estimator.skops": "estimator"}[name]
    complete = {
        "name": "leaves",
        "task": "classification",
        "classes": ["elm", "oak"],
        "features": SCHEMA.to_json(),
        "inputs": [["length", "width"]],
        "has_probabilities": False,
        "tolerance": 1e-4,
        "runtime": runtime,
        "libraries": {"scikit-learn": sklearn.__version__, "onnxruntime": onnxruntime.__version__},
    }
    return bundles.write({name: content, bundles.SMOKE: _smoke()}, {**complete, **manifest})


def refusal(name: str, content: bytes, **manifest: Any) -> str:
    """Why the bundle is refused as untrusted."""
    with pytest.raises(BundleRefused) as refused:
        bundles.load(stored(name, content, **manifest))
    assert refused.value.code == "artifact_untrusted", refused.value.detail
    return refused.value.detail


def refused_estimator(estimator: Any, change: Change | None = None) -> str:
    """Why an estimator is refused, as skops wrote it and then changed."""
    file: bytes = skops.io.dumps(estimator)
    return refusal("estimator.skops", tampered(file, change) if change else file)
