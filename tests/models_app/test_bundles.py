from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from models_app import bundles
from models_app.conversion import make_bundle
from models_app.learning import pipeline, tables
from models_app.refusals import BundleRefused
from models_app.runtimes import estimator as estimator_runtime
from tests.factories import LONG, SCHEMA, SHORT, leaves


@pytest.fixture
def home(settings: Settings, tmp_path: Path) -> Path:
    """An empty home, with a storage that is somewhere else, as a bucket would be."""
    settings.EVERLEARN_HOME = tmp_path / "home"
    storage = {**settings.STORAGES["default"], "OPTIONS": {"location": str(tmp_path / "bucket")}}
    settings.STORAGES = {**settings.STORAGES, "default": storage}
    return tmp_path


def fitted() -> Any:
    frame = leaves()
    estimator = pipeline.build("logistic", schema=SCHEMA, task="classification", seed=0)
    return estimator.fit(tables.encode(frame, SCHEMA), frame["kind"].to_numpy(dtype=object))


@pytest.fixture
def digest(home: Path) -> str:
    return make_bundle(
        fitted(),
        name="leaves",
        schema=SCHEMA,
        task="classification",
        classes=("elm", "oak"),
        instances=tables.instances_of(leaves(), SCHEMA),
    ).digest


def stored(home: Path, digest: str, name: str) -> Path:
    return home / "bucket" / "bundles" / digest / name


def cached(home: Path, digest: str, name: str) -> Path:
    return home / "home" / "cache" / "bundles" / digest / name


def empty_cache(home: Path, digest: str) -> None:
    for path in cached(home, digest, "").iterdir():
        path.unlink()


def refusal_of(digest: str) -> str:
    with pytest.raises(BundleRefused) as refusal:
        bundles.load(digest)
    return refusal.value.code


def values(bundle: bundles.Bundle) -> list[str]:
    answered: list[str] = bundle.answer(bundle.schema.columns([SHORT, LONG])).values.tolist()
    return answered


def test_a_loaded_bundle_answers_and_says_what_it_is(home: Path, digest: str) -> None:
    bundle = bundles.load(digest)

    assert values(bundle) == ["elm", "oak"]
    assert (bundle.name, bundle.task, bundle.classes) == (
        "leaves",
        "classification",
        ("elm", "oak"),
    )
    assert bundle.runtime_name == "onnx"
    assert bundle.schema == SCHEMA


def test_writing_the_same_bundle_twice_gives_one(home: Path, digest: str) -> None:
    files = {name: stored(home, digest, name).read_bytes() for name in ("model.onnx", "smoke.json")}
    manifest = json.loads(stored(home, digest, "manifest.json").read_bytes())

    assert bundles.write(files, manifest) == digest
    assert len(list(stored(home, digest, "").iterdir())) == 4


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "smoke.json"])
def test_a_flipped_byte_in_storage_is_refused(home: Path, digest: str, name: str) -> None:
    empty_cache(home, digest)
    path = stored(home, digest, name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    assert refusal_of(digest) == "bundle_hash_mismatch"


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "smoke.json"])
def test_a_corrupt_cached_file_is_fetched_again(home: Path, digest: str, name: str) -> None:
    good = cached(home, digest, name).read_bytes()
    cached(home, digest, name).write_bytes(b"corrupt")

    assert values(bundles.load(digest)) == ["elm", "oak"]
    assert cached(home, digest, name).read_bytes() == good


def test_a_missing_file_is_refused(home: Path, digest: str) -> None:
    empty_cache(home, digest)
    stored(home, digest, "model.onnx").unlink()

    assert refusal_of(digest) == "bundle_unavailable"


def test_what_the_manifest_does_not_name_is_never_opened(home: Path, digest: str) -> None:
    for extra in (stored(home, digest, "evil.pkl"), cached(home, digest, "evil.pkl")):
        extra.write_bytes(b"never read")
        extra.chmod(0)

    assert values(bundles.load(digest)) == ["elm", "oak"]


def test_a_link_in_the_place_of_a_file_is_worth_what_it_leads_to(home: Path, digest: str) -> None:
    elsewhere = home / "elsewhere"
    elsewhere.write_bytes(b"something else")
    for path in (stored(home, digest, "model.onnx"), cached(home, digest, "model.onnx")):
        path.unlink()
        path.symlink_to(elsewhere)

    assert refusal_of(digest) == "bundle_hash_mismatch"
    assert elsewhere.read_bytes() == b"something else"


def test_a_cached_bundle_serves_while_storage_is_away(home: Path, digest: str) -> None:
    bundles.load(digest)
    (home / "bucket").rename(home / "away")

    assert values(bundles.load(digest)) == ["elm", "oak"]


def test_a_cache_that_cannot_be_written_does_not_keep_a_bundle_from_loading(
    home: Path, digest: str
) -> None:
    empty_cache(home, digest)
    cached(home, digest, "").rmdir()
    cached(home, digest, "").write_text("a file where the directory should be")

    assert values(bundles.load(digest)) == ["elm", "oak"]


def test_the_cache_keeps_only_the_newest_bundles(home: Path, digest: str) -> None:
    empty_cache(home, digest)
    others = [cached(home, f"{number:064}", "") for number in range(bundles.KEPT_ON_DISK + 5)]
    for other in others:
        other.mkdir(parents=True)

    bundles.load(digest)

    assert len(list(cached(home, digest, "").parent.iterdir())) == bundles.KEPT_ON_DISK
    assert cached(home, digest, "model.onnx").exists()


def rewritten(home: Path, digest: str, **changed: Any) -> str:
    """The digest of a bundle that is sound but for some members of its manifest."""
    manifest = json.loads(stored(home, digest, "manifest.json").read_bytes())
    files = {name: stored(home, digest, name).read_bytes() for name in manifest["files"]}
    return bundles.write(files, {**manifest, **changed})


def test_a_bundle_that_answers_its_smoke_rows_otherwise_is_refused(home: Path, digest: str) -> None:
    manifest = json.loads(stored(home, digest, "manifest.json").read_bytes())
    smoke = json.loads(stored(home, digest, "smoke.json").read_bytes())
    smoke["probabilities"][0].reverse()
    graph = stored(home, digest, "model.onnx").read_bytes()
    files = {"model.onnx": graph, "smoke.json": json.dumps(smoke).encode()}

    assert refusal_of(bundles.write(files, manifest)) == "smoke_failed"


@pytest.mark.parametrize(
    "changed",
    [
        {"features": [{"name": "length", "kind": "colour", "required": True}]},
        {"inputs": [["length"], ["breadth"], "width"], "runtime": "estimator"},
        {"runtime": "os.system"},
        {"task": None, "classes": None},
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(
    home: Path, digest: str, changed: dict[str, Any]
) -> None:
    assert refusal_of(rewritten(home, digest, **changed)) == "bundle_refused"


def test_a_manifest_whose_inputs_are_not_those_of_the_graph_is_refused(
    home: Path, digest: str
) -> None:
    assert refusal_of(rewritten(home, digest, inputs=[["length"]])) == "artifact_untrusted"


def test_a_bundle_of_another_format_is_refused(home: Path, digest: str) -> None:
    assert refusal_of(rewritten(home, digest, format=3)) == "environment_mismatch"


def estimator_bundle(home: Path, digest: str, file: bytes, *, version: str | None = None) -> str:
    manifest = json.loads(stored(home, digest, "manifest.json").read_bytes())
    libraries = dict(manifest["libraries"])
    if version:
        libraries["scikit-learn"] = version
    smoke = stored(home, digest, "smoke.json").read_bytes()
    return bundles.write(
        {"estimator.skops": file, "smoke.json": smoke},
        {**manifest, "runtime": "estimator", "libraries": libraries},
    )


def test_an_estimator_answers_where_its_library_is_the_same(home: Path, digest: str) -> None:
    stays = estimator_bundle(home, digest, estimator_runtime.dumps(fitted()))

    assert values(bundles.load(stays)) == ["elm", "oak"]
    assert bundles.load(stays).runtime_name == "estimator"


def test_an_estimator_of_another_library_version_is_refused(home: Path, digest: str) -> None:
    other = estimator_bundle(home, digest, estimator_runtime.dumps(fitted()), version="0.1")

    assert refusal_of(other) == "environment_mismatch"


class Planted:
    """Writes a file when it is unpickled or rebuilt."""

    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __setstate__(self, state: dict[str, str]) -> None:
        Path(state["marker"]).touch()


def test_an_estimator_that_holds_foreign_types_is_never_built(home: Path, digest: str) -> None:
    import skops.io

    estimator = fitted()
    estimator.steps[-1][1].planted = Planted(str(home / "marker"))

    planted = estimator_bundle(home, digest, skops.io.dumps(estimator))

    assert refusal_of(planted) == "artifact_untrusted"
    assert not (home / "marker").exists()


def test_a_pickle_is_never_read(home: Path, digest: str) -> None:
    import pickle

    pickled = estimator_bundle(home, digest, pickle.dumps(fitted()))

    assert refusal_of(pickled) == "artifact_untrusted"
