"""What may not stand in an error that people read."""

from __future__ import annotations

import re

_USER_IN_ADDRESS = re.compile(r"(\w+://)[^\s/@'\"]+@")
_QUERY_OF_ADDRESS = re.compile(r"(\w+://[^\s?'\"]+)\?[^\s'\"]*")


def without_secrets(text: str) -> str:
    """The text without the passwords and query strings of the addresses in it."""
    return _QUERY_OF_ADDRESS.sub(r"\1?…", _USER_IN_ADDRESS.sub(r"\1", text))
