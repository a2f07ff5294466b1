"""The shape of JSON text before it is parsed: how deep, how many values, how large an object.

Each byte is looked at a fixed number of times whatever it is, in blocks, so that the time is in
proportion to the length and the memory is a small multiple of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# Large enough that numpy's work outweighs each call's, small enough that it stays in the cache.
BLOCK = 2**18

_QUOTE = ord('"')
_OPENS, _CLOSES, _COLON, _COMMA = 1, 2, 3, 4
_KIND = np.zeros(256, dtype=np.uint8)
for _characters, _kind in ((b"[{", _OPENS), (b"]}", _CLOSES), (b":", _COLON), (b",", _COMMA)):
    _KIND[list(_characters)] = _kind
_STEP = np.array([0, 1, -1, 0, 0], dtype=np.int32)


@dataclass(slots=True)
class Shape:
    """What was counted so far. depth: the deepest level; values: of objects and arrays, about.

    Text that is no JSON has a shape too, as far as it could still become JSON.
    """

    depth: int = 0
    containers: int = 0
    values: int = 0
    _members: list[tuple[NDArray[np.uint8], NDArray[np.int32]]] = field(default_factory=list)

    def add(self, kinds: NDArray[np.uint8], levels: NDArray[np.int32]) -> None:
        """Count one block: what kind each structural character is, and the level after it."""
        opens = kinds == _OPENS
        self.depth = max(self.depth, int(levels.max()))
        self.containers += int(np.count_nonzero(opens))
        self.values += int(np.count_nonzero(opens | (kinds == _COMMA)))
        kept = opens | (kinds == _COLON)
        self._members.append((kinds[kept], levels[kept]))

    def largest_object(self) -> int:
        """How many members the object with the most members has."""
        if not self._members:
            return 0
        kinds = np.concatenate([kinds for kinds, _ in self._members])
        levels = np.concatenate([levels for _, levels in self._members])
        # In the order of their levels each opening bracket is followed by the colons within it.
        order = np.argsort(levels.astype(np.uint8), kind="stable")
        opened = np.flatnonzero(kinds[order] == _OPENS)
        members = np.diff(opened, append=len(order)) - 1
        return int(members.max(initial=0))


def measure(body: bytes, *, most_depth: int, most_values: int) -> Shape:
    """The shape of `body`, which is UTF-8; counting ends at the block that passes a limit."""
    # Of a run of backslashes before a quote only an odd one escapes it.
    text = np.frombuffer(body.replace(b"\\\\", b"").replace(b'\\"', b""), dtype=np.uint8)
    shape, level, quoted = Shape(), 0, False
    for start in range(0, len(text), BLOCK):
        block = text[start : start + BLOCK]
        within = np.logical_xor.accumulate(block == _QUOTE) ^ quoted
        quoted = bool(within[-1])
        kinds = _KIND[block]
        kinds = kinds[(kinds != 0) & ~within]
        if not len(kinds):
            continue
        levels = np.cumsum(_STEP[kinds], dtype=np.int32) + level
        level = int(levels[-1])
        if int(levels.min()) < 0:  # More closes than was opened: the parser stops before.
            break
        shape.add(kinds, levels)
        if shape.depth > most_depth or shape.values > most_values:
            break
    return shape
