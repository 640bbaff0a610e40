"""The node's instance network: attach, detach, list, sweep."""

import os
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog
import trio

from paasd.config import NetworkConfig
from paasd.errors import ConfigError
from paasd.sandbox.network import connections, host, links, rules, shaping
from paasd.sandbox.network import egress as egress_rules
from paasd.sandbox.network.addresses import AddressPool
from paasd.sandbox.network.egress import EgressRule
from paasd.sandbox.network.nft import Nft, NftError
from paasd.sandbox.network.policies import Policies
from paasd.sandbox.network.shared import Shared

_PREFIX = re.compile(r"[a-z0-9]{1,6}")
T = TypeVar("T")
_NETNS_FILE = re.compile(r"[0-9]{1,5}")


class Attachment(msgspec.Struct, frozen=True):
    """The network of one instance. `netns_path` is what setns(2) takes."""

    slot: int
    interface: str
    address: str
    netns_path: Path


class _Quarantine(msgspec.Struct):
    """Addresses that rest, for the next daemon; `boot` because the clock starts again with each boot."""

    boot: str
    released: dict[str, float]


@asynccontextmanager
async def open_network(
    config: NetworkConfig, *, prefix: str, run_dir: Path, clock: Callable[[], float]
) -> AsyncIterator["Network"]:
    """Claim the node's pool and table and read back what is attached.

    `prefix` (up to six of a-z0-9) tells the nodes of one host apart. `clock` never goes back while the host runs.
    Leaving keeps attachments alive; when there are none, nothing of the node stays on the host.
    """
    if _PREFIX.fullmatch(prefix) is None:
        raise ConfigError(f"node prefix {prefix!r} must be one to six of a-z and 0-9: it is part of interface names")
    with Nft() as nft:
        pool, mtu = await trio.to_thread.run_sync(host.claim, nft, prefix, config)
        network = Network(config, prefix, run_dir, clock, nft, pool, mtu)
        await trio.to_thread.run_sync(network.read_back)
        try:
            yield network
        finally:
            with trio.CancelScope(shield=True):
                if not await network.leftovers():
                    await trio.to_thread.run_sync(host.give_back, nft, prefix, pool)


class Network:
    """Made by `open_network`. Methods may run at the same time for different slots."""

    def __init__(
        self,
        config: NetworkConfig,
        prefix: str,
        run_dir: Path,
        clock: Callable[[], float],
        nft: Nft,
        pool: IPv4Network,
        mtu: int,
    ) -> None:
        self.pool = pool
        self.resolver_port = 0
        """Where look-ups go; after a restart the port of the former daemon's resolver, which the next should take."""
        self.shared = Shared(nft, rules.table_name(prefix), self._in_thread)
        self._config = config
        self._prefix = prefix
        self._clock = clock
        self._nft = nft
        self._mtu = mtu
        self._namespaces = run_dir / "netns"
        self._quarantine = run_dir / "addresses.json"
        self._addresses = AddressPool(pool, config.quarantine_s)
        self._attached: dict[int, Attachment] = {}
        self._by_address: dict[str, Attachment] = {}
        self._host_names: dict[int, tuple[tuple[int, str], ...]] = {}
        # Two at once: more only wait for the kernel's one netlink lock.
        self._limiter = trio.CapacityLimiter(2)

    async def attach(
        self,
        slot: int,
        egress: tuple[EgressRule, ...],
        policies: Policies = Policies(),  # noqa: B008 (frozen)
    ) -> Attachment:
        """Make namespace, link, address and policy of a slot. Raises Unprocessable (egress), Unavailable (addresses).

        A slot that is already attached is taken down first. After an error nothing of the slot is left.
        """
        await self.detach(slot)
        address = self._addresses.take(self._clock())
        attachment = Attachment(
            slot, rules.interface_name(self._prefix, slot), str(address), self._namespaces / str(slot)
        )
        try:
            policy = rules.instance(self._prefix, slot, attachment.address, egress, self._config, policies)
            await self._in_thread(partial(self._make, attachment, address, policy))
        except BaseException:
            with trio.CancelScope(shield=True):
                await self._in_thread(partial(self._unmake, slot, attachment.address))
            self._release(address)
            raise
        self._know(attachment, egress_rules.host_names(egress))
        return attachment

    async def detach(self, slot: int) -> None:
        """Take a slot's network away; its address rests before the next use. Nothing happens if there is none."""
        known = self._attached.get(slot)
        if known is None:
            return
        await self._in_thread(partial(self._unmake, slot, known.address))
        self._forget(known)

    def list(self) -> dict[int, Attachment]:
        """What is attached, by slot."""
        return dict(self._attached)

    def by_address(self, address: str) -> Attachment | None:
        """Whose address this is, among the instances of this node."""
        return self._by_address.get(address)

    async def sweep(self, keep: Iterable[int]) -> set[int]:
        """Remove every slot of this node outside `keep`, also half-made ones. Returns the slots removed."""
        extra = await self.leftovers() - set(keep)
        for slot in sorted(extra):
            known = self._attached.get(slot)
            address = known.address if known else None
            await self._in_thread(partial(self._unmake, slot, address))
            if known:
                self._forget(known)
        return extra

    async def leftovers(self) -> set[int]:
        """Slots of which the host has anything at all: interface, namespace or rules."""
        return await self._in_thread(self._found)

    async def set_resolver(self, port: int) -> None:
        """Send look-ups to 169.254.1.1:53 to this port of the host's 169.254.1.1 (UDP and TCP)."""
        await self._in_thread(lambda: self._nft.run(rules.resolver(self._prefix, port)))
        self.resolver_port = port

    async def learn(self, client: str, name: str, addresses: Iterable[str], lifetime_s: float) -> None:
        """The resolver answered `name` to `client`: open these addresses where a rule of its egress names the host."""
        attachment = self._by_address.get(client)
        listed = sorted(addresses)
        if attachment is None or not listed:
            return
        for position, pattern in self._host_names.get(attachment.slot, ()):
            if egress_rules.name_matches(pattern, name):
                known = rules.host_set(attachment.slot, position)
                commands = rules.learn(self._prefix, known, listed, max(int(lifetime_s), 300))
                try:
                    await self._in_thread(partial(self._nft.run, commands))
                except NftError as error:
                    # The slot was detached meanwhile, or its set is full: the name stays closed, nothing else suffers.
                    structlog.get_logger().warning("egress name not opened", name=name, client=client, error=str(error))

    def read_back(self) -> None:
        """Find what an earlier daemon attached. Blocks; called once by `open_network`."""
        self._namespaces.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.resolver_port = self._nft.redirect_port(rules.table_name(self._prefix), "resolve")
        prefix = rules.interface_name(self._prefix, 0)[:-1]
        for interface, address in links.addresses_by_interface(prefix).items():
            path = self._namespaces / interface.removeprefix(prefix)
            if address is not None and address in self.pool and path.exists():
                self._addresses.claim(address)
                self._know(Attachment(int(path.name), interface, str(address), path), self._names_of(int(path.name)))
        try:
            earlier = msgspec.json.decode(self._quarantine.read_bytes(), type=_Quarantine)
        except (FileNotFoundError, msgspec.DecodeError):
            return
        self._addresses.restore(earlier.released if earlier.boot == _boot_id() else {}, self._clock())

    def _make(self, attachment: Attachment, address: IPv4Address, policy: str) -> None:
        outer = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            links.create(attachment.netns_path, attachment.interface, address, self._mtu, outer)
        finally:
            os.close(outer)
        links.connect(attachment.interface, address)
        if self._config.upload_mbit or self._config.download_mbit:
            shaping.limit(
                attachment.interface,
                attachment.netns_path,
                upload_mbit=self._config.upload_mbit,
                download_mbit=self._config.download_mbit,
            )
        # Last: until here the instance can reach nothing and be reached by nobody but the host.
        self._nft.run(policy)

    def _unmake(self, slot: int, address: str | None) -> None:
        interface = rules.interface_name(self._prefix, slot)
        links.remove(interface, self._namespaces / str(slot))
        table = rules.table_name(self._prefix)
        if address is None:
            # Half-made, found by a sweep: only the table knows what the slot once had.
            address = next((a for i, a in self._nft.concatenated_keys(table, "sources") if i == interface), None)
        sets = [name for name in self._nft.names(table, "set") if name.startswith(f"h{slot}_")]
        # Before the rules go, by which a daemon that was killed here finds the address again.
        if address is not None:
            _forget_connections(IPv4Address(address))
        self._nft.run(rules.remove_instance(self._prefix, slot, address, sets))

    def _names_of(self, slot: int) -> tuple[tuple[int, str], ...]:
        found = []
        for name, comment in self._nft.set_comments(rules.table_name(self._prefix)).items():
            if name.startswith(f"h{slot}_") and comment is not None:
                found.append((int(name.partition("_")[2]), comment))
        return tuple(sorted(found))

    def _found(self) -> set[int]:
        prefix = rules.interface_name(self._prefix, 0)[:-1]
        slots = {int(name.removeprefix(prefix)) for name in links.addresses_by_interface(prefix)}
        slots |= {int(path.name) for path in self._namespaces.iterdir() if _NETNS_FILE.fullmatch(path.name)}
        chains = self._nft.names(rules.table_name(self._prefix), "chain")
        return slots | {int(name[1:]) for name in chains if name[0] in rules.CHAINS_OF_ONE and name[1:].isdigit()}

    def _know(self, attachment: Attachment, names: tuple[tuple[int, str], ...]) -> None:
        self._attached[attachment.slot] = attachment
        self._by_address[attachment.address] = attachment
        self._host_names[attachment.slot] = names

    def _forget(self, attachment: Attachment) -> None:
        self._attached.pop(attachment.slot, None)
        self._by_address.pop(attachment.address, None)
        self._host_names.pop(attachment.slot, None)
        self._release(IPv4Address(attachment.address))

    def _release(self, address: IPv4Address) -> None:
        now = self._clock()
        self._addresses.release(address, now)
        # Lost in a power cut, and not needed then: a new boot has no connections to old addresses.
        temporary = self._quarantine.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(_Quarantine(_boot_id(), self._addresses.resting(now))))
        temporary.replace(self._quarantine)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(work, limiter=self._limiter)


def _forget_connections(address: IPv4Address) -> None:
    """A far end that goes on sending would keep a connection alive until it reaches the next owner of the address."""
    try:
        connections.forget(address)
    except OSError as error:
        structlog.get_logger().warning("connections not forgotten", address=str(address), error=str(error))


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
