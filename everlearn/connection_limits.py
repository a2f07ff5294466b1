"""How long a client may take, and how many connections a web process holds open."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from ipaddress import ip_address

from models_app.strangers import network_of

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """The patience of a web process; times are seconds, sizes are bytes."""

    first_byte: float = 10.0  # from the connection to its first byte
    head: float = 5.0  # from the first byte of a request to the end of its head
    # A body or an answer of N bytes may take grace + N / bytes_per_second in all, and may pause
    # only so long.
    grace: float = 10.0
    bytes_per_second: float = 1024.0
    body_pause: float = 30.0
    body: float = 3600.0
    # Longer: the client's system reports what was read in lumps.
    answer_pause: float = 120.0
    linger: float = 2.0  # for the client to read a last answer before the connection is closed
    lingering_bytes: int = 32 * MIB  # read and dropped meanwhile
    # Requests that wait for a thread in one process, and for how long.
    waiting: int = 256
    waiting_seconds: float = 10.0
    # Bodies and answers held for all connections of one process, in memory and temporary files.
    held: int = 256 * MIB


def more_time(limits: Limits, deadline: float, received: int, now: float, pause: float) -> float:
    """The deadline once `received` more bytes came: each earns time, up to `pause` from now."""
    return min(deadline + received / limits.bytes_per_second, now + pause)


class NetworkCounts:
    """How many connections each network holds open: an IPv4 address or an IPv6 /64.

    most: how many are allowed; 0 counts nothing, as where all clients share a proxy's address.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._counts: Counter[str] = Counter()

    def admit(self, address: str) -> bool:
        """Count one more connection; False, and nothing counted, when it is one too many."""
        if not self._counted(address):
            return True
        network = network_of(address)
        if self._counts[network] >= self.most:
            return False
        self._counts[network] += 1
        return True

    def forget(self, address: str) -> None:
        """One that was admitted is closed."""
        if not self._counted(address):
            return
        network = network_of(address)
        self._counts[network] -= 1
        if self._counts[network] <= 0:
            del self._counts[network]

    def _counted(self, address: str) -> bool:
        if not self.most or not address:
            return False
        # A proxy on this host asks for many clients. The second form is that of IPv4 in IPv6.
        forms = (address, network_of(address))
        return not any(ip_address(form).is_loopback for form in forms)
