"""All open connections, and which of them to close above the limit. Opens none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msaas.auth.quotas import address_account


class Connection(Protocol):
    """A connection in the register. `busy`: within a request whose headers are complete."""

    address: str

    @property
    def busy(self) -> bool: ...

    def drop(self, reason: str) -> None: ...


class Connections:
    """At most `limit` connections. Above that, the address with the most connections loses one: its oldest idle one,
    else its oldest. So a client with one connection is never pushed out by one with many.

    A proxy is one address, so its connections go by age; so do all if each address has one.
    """

    def __init__(self, limit: int, dropped: Callable[[str], None]) -> None:
        self.limit, self._dropped = limit, dropped
        self._by_address: dict[str, dict[Connection, None]] = {}  # dicts keep the order: oldest first
        self.count = 0

    def add(self, connection: Connection) -> None:
        self._by_address.setdefault(address_account(connection.address), {})[connection] = None
        self.count += 1
        if self.count > self.limit:
            self._drop_one(connection)

    def remove(self, connection: Connection) -> None:
        account = address_account(connection.address)
        connections = self._by_address.get(account, {})
        if connection in connections:
            del connections[connection]
            self.count -= 1
            if not connections:
                del self._by_address[account]

    def note_dropped(self, reason: str) -> None:
        self._dropped(reason)

    def _drop_one(self, newest: Connection) -> None:
        largest = max(self._by_address.values(), key=len)
        to_drop = next((one for one in largest if not one.busy and one is not newest), None) or next(iter(largest))
        self.remove(to_drop)
        to_drop.drop("too_many_connections")
