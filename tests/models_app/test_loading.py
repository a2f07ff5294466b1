from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from models_app import loading
from models_app.bundles import Bundle
from models_app.loading import Loader
from models_app.refusals import BundleRefused


class Store:
    """Loads in the way that a test wants, and counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: BaseException | None = None
        self.open = threading.Event()
        self.open.set()

    def __call__(self, digest: str) -> Bundle:
        self.asked.append(digest)
        assert self.open.wait(10)
        if self.error:
            raise self.error
        return cast(Bundle, f"bundle {digest}")


@pytest.fixture
def store() -> Store:
    return Store()


def load(loader: Loader, digest: str, patience: float = 5.0) -> Any:
    return loader.load("leaves", digest, patience=patience)


def test_the_last_three_are_kept(store: Store) -> None:
    loader = Loader(store)
    for digest in ("a", "b", "c", "d", "b", "a"):
        assert load(loader, digest) == f"bundle {digest}"

    assert store.asked == ["a", "b", "c", "d", "a"]


def test_a_bundle_that_is_refused_is_tried_once_and_not_at_each_question(store: Store) -> None:
    loader = Loader(store)
    store.error = BundleRefused("broken")

    for _ in range(3):
        with pytest.raises(BundleRefused, match="broken"):
            load(loader, "a")

    assert store.asked == ["a"]
    assert loader.failing


def test_it_is_tried_again_after_a_while(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "RETRY_AFTER", 0.0)
    loader = Loader(store)
    store.error = BundleRefused("broken")
    with pytest.raises(BundleRefused):
        load(loader, "a")
    store.error = None

    assert load(loader, "a") == "bundle a"
    assert not loader.failing


def test_whatever_loading_raises_is_a_refusal(store: Store) -> None:
    store.error = SystemExit("of a library's own")

    with pytest.raises(BundleRefused, match="of a library's own"):
        load(Loader(store), "a")


def test_a_slow_bundle_holds_nobody_up_and_serves_when_it_comes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = Loader(store)
    store.open.clear()
    with pytest.raises(BundleRefused, match="being loaded"):
        load(loader, "a", patience=0.01)
    assert not loader.failing
    monkeypatch.setattr(loading, "SLOW", 0.0)
    with pytest.raises(BundleRefused):
        load(loader, "a")
    assert loader.failing

    store.open.set()
    # The thread that loads it ends in its own time.
    for thread in threading.enumerate():
        if thread.name == "load-a":
            thread.join(10)

    assert load(loader, "a") == "bundle a"
    assert not loader.failing
    assert store.asked == ["a"]


def test_a_model_that_is_gone_no_longer_counts_as_failing(store: Store) -> None:
    loader = Loader(store)
    store.error = BundleRefused("broken")
    with pytest.raises(BundleRefused):
        load(loader, "a")

    loader.forget_all_but(["others"])

    assert not loader.failing
