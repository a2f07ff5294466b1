"""Read what a skops file would build, without building it.

A skops file is a tree of nodes, each naming a loader and a type. Every node is read here first,
against lists of our own, into plain values: numbers, texts, arrays, and a `Record` for each
object. The checks of values work on those; only then may skops build anything.

skops builds a node once an identity and takes it for every other node of that identity, whatever
that says. So nodes of one identity must come out equal here, or what was checked is not what is
built.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from models_app.runtimes import allowed_types as allowed
from models_app.runtimes.refusing import expect, refuse
from models_app.runtimes.skops_arrays import Archive

# The protocols of skops whose nodes are described here.
PROTOCOLS = (2,)
MOST_NODES = 5_000_000
DEEPEST = 80
_SCALARS = (type(None), bool, int, float, str)
_KEYS: Mapping[str, Callable[[str], Any]] = {
    "builtins.str": str, "builtins.int": int, "builtins.float": float, "builtins.bool": bool,
    "numpy.str_": str, "numpy.int64": int, "numpy.float64": float,
}  # fmt: skip
_POSITIONS = 624
_POOL = 4

Node = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """An object that would be built. state: its attributes, or what `__setstate__` gets.

    arguments: what its constructor gets, for the few that have one called.
    """

    type: str
    state: Any
    arguments: tuple[Any, ...] = ()

    def get(self, attribute: str, default: Any = None) -> Any:
        """One of its attributes."""
        return self.state.get(attribute, default) if isinstance(self.state, dict) else default


@dataclass(frozen=True, slots=True)
class Named:
    """A function or a type, by its full name."""

    name: str
    is_function: bool


class Objects(list[Any]):
    """The items of an array of objects, which may be lists in turn."""


def read(archive: Archive) -> tuple[Any, list[str]]:
    """What a skops file would build, and the names of all types and functions in it.

    Raises BundleRefused for anything that is not on our lists.
    """
    try:
        schema = json.loads(archive.schema())
    except (ValueError, RecursionError) as error:
        refuse(f"the schema of its skops file is no JSON: {error!r:.100}")
    expect(isinstance(schema, dict), "the schema of its skops file is no object")
    protocol = schema.get("protocol")
    known = type(protocol) is int and protocol in PROTOCOLS
    expect(known, f"its skops file is of protocol {protocol!r:.20}, which is not known here")
    try:
        reader = _Reader(archive)
        value = reader.value(schema)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        refuse(f"its skops file makes no sense: {error!r:.100}")
    archive.refuse_unused()
    return value, sorted(reader.names)


class _Reader:
    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self._seen: dict[int, tuple[Node, Any]] = {}
        self._nodes = self._depth = 0
        self.names: set[str] = set()

    def value(self, node: Node) -> Any:
        identity = node["__id__"]
        expect(type(identity) is int and identity, "a node of its skops file has no identity")
        before = self._seen.get(identity)
        if before is not None and before[0] == node:
            return before[1]
        value = self._new(node)
        if before is None:
            self._seen[identity] = node, value
        else:
            # The same but for identities within, as those of lists made only to be written.
            alike = _same(before[1], value)
            expect(alike, "two nodes of its skops file share an identity and differ")
        return value

    def _new(self, node: Node) -> Any:
        self._nodes += 1
        self._depth += 1
        expect(self._nodes <= MOST_NODES, f"its skops file has over {MOST_NODES:,} nodes")
        expect(self._depth <= DEEPEST, f"its skops file is nested over {DEEPEST} deep")
        value = _reader_of(node)(self, node)
        self.names.add(type_of(node))
        self._depth -= 1
        return value

    def values(self, nodes: Any) -> list[Any]:
        expect(isinstance(nodes, list), "a list of its skops file is none")
        return [self.value(one) for one in nodes]


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, Record):
        parts = (one.type, one.state, one.arguments), (other.type, other.state, other.arguments)
        return _same(*parts)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict):
        return _same(list(one.items()), list(other.items()))
    if isinstance(one, np.ndarray):
        alike = (one.dtype, one.shape) == (other.dtype, other.shape)
        return alike and bool(one.tobytes() == other.tobytes())
    alike = not sparse.issparse(one) and bool(one == other)
    return alike or (isinstance(one, float) and math.isnan(one) and math.isnan(other))


def _reader_of(node: Node) -> Callable[[_Reader, Node], Any]:
    loader, name = node["__loader__"], type_of(node)
    expect(isinstance(loader, str) and loader in _READERS, f"it holds a {loader!r:.40} ({name})")
    known, reader = _READERS[loader]
    if name not in known:
        _refuse_type(name)
    return reader


def type_of(node: Node) -> str:
    """The full name of the type or function that a node names."""
    module, name = node["__module__"], node["__class__"]
    both = isinstance(module, str) and isinstance(name, str)
    expect(both, "a node of its skops file names no type")
    return f"{module}.{name}"


def _refuse_type(name: str) -> None:
    refuse(
        f"it holds {name:.200}, which is not on the list of types that may be loaded; use usual "
        "scikit-learn estimators, or train with an estimator of the catalogue, as "
        'estimator = "auto"'
    )


def _json(_: _Reader, node: Node) -> Any:
    value = json.loads(node["content"])
    expect(isinstance(value, _SCALARS), "a plain value of its skops file is none")
    return value


def _list(reader: _Reader, node: Node) -> list[Any]:
    return reader.values(node["content"])


def _tuple(reader: _Reader, node: Node) -> tuple[Any, ...]:
    return tuple(reader.values(node["content"]))


def _dict(reader: _Reader, node: Node) -> dict[Any, Any]:
    types = reader.value(node["key_types"])
    content = node["content"]
    expect(
        isinstance(types, list) and len(types) == len(content), "a dict has other keys than it says"
    )
    makers = [_KEYS.get(one.name) if isinstance(one, Named) else None for one in types]
    expect(all(makers), "a dict of its skops file has keys of a type that is not allowed")
    return {
        make(key): reader.value(value)
        for make, (key, value) in zip(makers, content.items(), strict=True)
        if make is not None
    }


def _slice(_: _Reader, node: Node) -> slice:
    parts = [node["content"][name] for name in ("start", "stop", "step")]
    plain = all(part is None or type(part) is int for part in parts)
    expect(plain, "a slice of its skops file is none")
    return slice(*parts)


def _array(reader: _Reader, node: Node) -> Any:
    is_array = type_of(node) == "numpy.ndarray"
    if node["type"] == "numpy":
        array = reader.archive.array(node["file"])
        expect(is_array or array.shape == (), "a number of its skops file is an array")
        return array if is_array else array.item()
    expect(is_array and node["type"] == "json", "an array of its skops file is of no known kind")
    shape = reader.value(node["shape"])
    expect(isinstance(shape, tuple), "an array of objects has no shape")
    return Objects(reader.values(node["content"]))


def _masked(reader: _Reader, node: Node) -> Any:
    return [reader.value(node["content"][part]) for part in ("data", "mask")]


def _dtype(reader: _Reader, node: Node) -> Any:
    empty = reader.value(node["content"])
    expect(isinstance(empty, np.ndarray | Objects), "a dtype of its skops file is none")
    return np.dtype(object) if isinstance(empty, Objects) else empty.dtype


def _sparse(reader: _Reader, node: Node) -> Any:
    expect(node["type"] == "scipy", "a sparse matrix of its skops file is none")
    return reader.archive.sparse(node["file"])


def _type(_: _Reader, node: Node) -> Named:
    return Named(type_of(node), is_function=False)


def _function(_: _Reader, node: Node) -> Named:
    return Named(type_of(node), is_function=True)


def _object(reader: _Reader, node: Node) -> Record:
    name, content = type_of(node), node.get("content")
    state = None if content is None else reader.value(content)
    if name in allowed.TUPLES:
        expect(isinstance(state, tuple), f"the state of a {name} is no tuple")
    else:
        named = isinstance(state, dict) and all(isinstance(key, str) for key in state)
        expect(state is None or named, f"the state of a {name} is no dict of attributes")
    return Record(name, state)


def _tree(reader: _Reader, node: Node) -> Record:
    arguments = reader.value(node["__reduce__"]["args"])
    return Record(allowed.TREE, reader.value(node["content"]), tuple(arguments))


def _loss(reader: _Reader, node: Node) -> Record:
    arguments, state = reader.value(node["__reduce__"]["args"]), reader.value(node["content"])
    numbers = isinstance(arguments, tuple) and all(_finite(one) for one in arguments)
    expect(numbers and len(arguments) <= 2, "a loss function of it takes more than two numbers")
    expect(not state, "a loss function of it has a state")
    return Record(type_of(node), None, arguments)


def _finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _random_state(reader: _Reader, node: Node) -> Record:
    state = reader.value(node["content"])
    inner = state["state"]
    expect(state["bit_generator"] == "MT19937", "a random state of it is of another kind")
    expect(set(inner) == {"key", "pos"}, "a random state of it is damaged")
    key, position = inner["key"], inner["pos"]
    whole = isinstance(key, np.ndarray) and key.dtype == np.uint32 and key.shape == (_POSITIONS,)
    within = type(position) is int and 0 <= position <= _POSITIONS
    expect(whole and within, "a random state of it points outside of itself")
    return Record(type_of(node), None)


def _generator(reader: _Reader, node: Node) -> Record:
    bits = reader.value(node["content"]["bit_generator"])
    seed = reader.value(node["content"]["seed_seq"])
    expect(bits["bit_generator"] == "PCG64", "a random generator of it is of another kind")
    expect(set(bits["state"]) == {"state", "inc"}, "a random generator of it is damaged")
    usual = {"entropy", "spawn_key", "pool_size", "n_children_spawned"}
    expect(set(seed) <= usual and seed.get("pool_size", _POOL) == _POOL, "its seed is damaged")
    return Record(type_of(node), None)


_FUNCTIONS = frozenset().union(*allowed.FUNCTIONS.values())
# By loader: the types that it may be given, and what reads it. No partials, bound methods,
# `operator` functions, bytes, constructors or cached nodes: no estimator of ours needs one.
_READERS: Mapping[str, tuple[frozenset[str], Callable[[_Reader, Node], Any]]] = {
    "JsonNode": (frozenset({"builtins.str"}), _json),
    "ListNode": (frozenset({"builtins.list"}), _list),
    "SetNode": (frozenset({"builtins.set"}), _list),
    "TupleNode": (frozenset({"builtins.tuple"}), _tuple),
    "DictNode": (frozenset({"builtins.dict", "sklearn.utils._bunch.Bunch"}), _dict),
    "SliceNode": (frozenset({"builtins.slice"}), _slice),
    "NdArrayNode": (allowed.NUMBERS | {"numpy.ndarray"}, _array),
    "MaskedArrayNode": (frozenset({"numpy.ma.MaskedArray"}), _masked),
    "DTypeNode": (frozenset({"numpy.dtype"}), _dtype),
    "SparseMatrixNode": (allowed.SPARSE, _sparse),
    "TypeNode": (allowed.TYPES, _type),
    "FunctionNode": (_FUNCTIONS, _function),
    "ObjectNode": (allowed.OBJECTS, _object),
    "TreeNode": (frozenset({allowed.TREE}), _tree),
    "LossNode": (allowed.LOSSES, _loss),
    "RandomStateNode": (frozenset({"numpy.random.mtrand.RandomState"}), _random_state),
    "RandomGeneratorNode": (frozenset({"numpy.random._generator.Generator"}), _generator),
}
