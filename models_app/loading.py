"""Load bundles beside whoever asks for them, so that a slow or broken one holds nobody up."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field

from models_app import bundles
from models_app.bundles import Bundle
from models_app.refusals import BundleRefused

logger = logging.getLogger(__name__)

# The one that serves and two before it: going back to those is instant.
KEPT_LOADED = 3
RETRY_AFTER = 5.0
# As good as failed, though it may still come.
SLOW = 5.0


@dataclass(frozen=True, slots=True)
class _Failure:
    digest: str
    at: float
    why: str


@dataclass(frozen=True, slots=True)
class _UnderWay:
    since: float = field(default_factory=time.monotonic)
    bundle: Future[Bundle] = field(default_factory=Future)


class Loader:
    """The bundles of one process: a few of each model kept, failures remembered for seconds."""

    def __init__(self, load: Callable[[str], Bundle] = bundles.load) -> None:
        self._load = load
        self._kept: dict[str, OrderedDict[str, Bundle]] = {}
        self._failed: dict[str, _Failure] = {}
        self._under_way: dict[str, _UnderWay] = {}

    @property
    def failing(self) -> bool:
        """Whether some model should serve what cannot be loaded."""
        return bool(self._failed)

    def load(self, name: str, digest: str, *, patience: float) -> Bundle:
        """The bundle `digest` for the model `name`.

        patience: seconds to wait for it the first time; later questions do not wait. Raises
        BundleRefused while it is not there.
        """
        kept = self._kept.setdefault(name, OrderedDict())
        if digest not in kept:
            kept[digest] = self._fetched(name, digest, patience)
        self.settle(name)
        kept.move_to_end(digest)
        while len(kept) > KEPT_LOADED:
            kept.popitem(last=False)
        return kept[digest]

    def settle(self, name: str) -> None:
        """Forget what failed: the model serves what it should."""
        self._failed.pop(name, None)

    def forget_all_but(self, names: Iterable[str]) -> None:
        """Drop what was kept for models that are gone."""
        for gone in (self._kept.keys() | self._failed.keys()) - set(names):
            self._kept.pop(gone, None)
            self._failed.pop(gone, None)

    def _fetched(self, name: str, digest: str, patience: float) -> Bundle:
        before = self._failed.get(name)
        asked = self._under_way.get(digest)
        if asked is not None:
            patience = 0
        elif before and before.digest == digest and time.monotonic() - before.at < RETRY_AFTER:
            raise BundleRefused(before.why)
        else:
            asked = self._under_way[digest] = self._begin(digest)
        try:
            bundle = asked.bundle.result(patience)
        except TimeoutError:
            if time.monotonic() - asked.since > SLOW:
                self._fail(name, digest, f"bundle {digest[:12]} takes long to load")
            raise BundleRefused(f"bundle {digest[:12]} is being loaded") from None
        except BundleRefused as refusal:
            del self._under_way[digest]
            self._fail(name, digest, refusal.detail)
            raise
        del self._under_way[digest]
        return bundle

    def _begin(self, digest: str) -> _UnderWay:
        begun = _UnderWay()

        def run() -> None:
            try:
                begun.bundle.set_result(self._load(digest))
            except BundleRefused as refusal:
                begun.bundle.set_exception(refusal)
            except BaseException as error:  # noqa: BLE001 - or whoever waits would for ever
                begun.bundle.set_exception(BundleRefused(f"bundle {digest[:12]}: {error!r}"))

        threading.Thread(target=run, name=f"load-{digest[:12]}", daemon=True).start()
        return begun

    def _fail(self, name: str, digest: str, why: str) -> None:
        before = self._failed.get(name)
        if before is None or (before.digest, before.why) != (digest, why):
            logger.error("%s: %s", name, why)
        self._failed[name] = _Failure(digest, time.monotonic(), why)
