"""Sources: by what feedback is counted, so that one voice never looks like many.

A source is an account (`user:NAME`; all keys of an account are one), the account that made a
feedback link, or the network that an anonymous request came from (`address:NETWORK`).
"""

from __future__ import annotations

from models_app.strangers import network_of

ACCOUNT, NETWORK, LINK = "user:", "address:", "link:"


def of_account(username: str) -> str:
    """The source that an account's feedback counts by, and that of the links it made."""
    return f"{ACCOUNT}{username}"


def of_address(address: str) -> str:
    """The source that feedback without an account counts by: the network of the address."""
    return f"{NETWORK}{network_of(address)}"


def of_link(link_id: str) -> str:
    """The source of a link whose maker is not known any more."""
    return f"{LINK}{link_id}"


def source_group(source: str) -> str:
    """What to count a stored `Feedback.source` by.

    Rows from before networks were counted as one hold a whole address; they belong to its network.
    """
    if source.startswith(NETWORK):
        return of_address(source.removeprefix(NETWORK))
    return source
