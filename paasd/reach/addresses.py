"""The addresses that stand for apps on this node. Kept in a file: apps and Envoy go on using them without a daemon."""

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import msgspec

from paasd.reach.calls import Callee
from paasd.sandbox.network.addresses import AddressPool


class _Kept(msgspec.Struct, frozen=True):
    address: str
    app_guid: str
    process_type: str


class CallAddresses:
    """One address for each callee, given anew only after a rest: what an app remembers of a name may be old."""

    def __init__(self, path: Path, network: IPv4Network, rest_s: float, clock: Callable[[], float]) -> None:
        self._path = path
        self._pool = AddressPool(network, rest_s)
        self._clock = clock
        self._known: dict[Callee, str] = {}
        self._changed = False
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=list[_Kept])
        except (FileNotFoundError, msgspec.DecodeError):
            kept = []
        for one in kept:
            if IPv4Address(one.address) in network:
                self._known[one.app_guid, one.process_type] = one.address
                self._pool.claim(IPv4Address(one.address))

    def of(self, callee: Callee) -> str:
        """The address of a callee, a new one if it has none. Raises Unavailable when all are taken."""
        found = self._known.get(callee)
        if found is None:
            found = self._known[callee] = str(self._pool.take(self._clock()))
            self._changed = True
        return found

    @property
    def apps(self) -> set[str]:
        return {app_guid for app_guid, _ in self._known}

    def forget(self, apps: Iterable[str]) -> None:
        """Apps that are gone."""
        gone = set(apps)
        for callee in [callee for callee in self._known if callee[0] in gone]:
            self._pool.release(IPv4Address(self._known.pop(callee)), self._clock())
            self._changed = True

    def save(self) -> None:
        """Before anybody is told of a new address."""
        if not self._changed:
            return
        kept = [_Kept(address, *callee) for callee, address in self._known.items()]
        temporary = self._path.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(kept))
        temporary.replace(self._path)
        self._changed = False
