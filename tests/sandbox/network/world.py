"""A world around the instances: a neighbour network that plays the internet, and what of ours the host has."""

import errno
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import trio
from pyroute2.netlink.exceptions import NetlinkError

from paasd.sandbox import mounts
from paasd.sandbox.network import Attachment, links
from paasd.sandbox.network.nft import Nft

T = TypeVar("T")
# Lower numbers are those that upstream resolvers of tests answer, where nobody may be.
_MACHINES = range(20, 100)


class Outside:
    """A machine of its own next to the host. `public`, `private` and `metadata` are addresses that it has.

    Its number, which all its addresses are made of, is unique among those of all test processes of this host: the
    kernel lets only one interface have its name.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def start(self) -> None:
        outer = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.path = self._directory / f"outside-{secrets.token_hex(3)}"

        def inside() -> None:
            mounts.bind_file(f"/proc/self/task/{threading.get_native_id()}/ns/net", self.path)
            with links.netlink() as ip:
                ip.link("set", index=1, state="up")
                self._number_is(next(number for number in _MACHINES if _linked(ip, number, outer)))
                index = ip.link_lookup(ifname="up")[0]
                for address in (self.public, self.private, self.metadata):
                    ip.addr("add", index=index, address=address, prefixlen=32)
                ip.link("set", index=index, state="up")
                ip.route("add", dst=f"{self.host_side}/32", oif=index, scope=253)
                ip.route("add", dst="default", gateway=self.host_side, oif=index)

        links.in_namespace(inside)
        os.close(outer)
        with links.netlink() as ip:
            index = ip.link_lookup(ifname=self.interface)[0]
            ip.addr("add", index=index, address=self.host_side, prefixlen=32)
            ip.link("set", index=index, state="up")
            for address in (self.public, self.private, self.metadata):
                ip.route("add", dst=f"{address}/32", oif=index, scope=253)

    def _number_is(self, number: int) -> None:
        self.interface = f"outside{number}"
        self.public = f"198.51.100.{number}"
        self.private = f"10.77.{number}.1"
        # A cloud's own would be the same one for all test processes; what is closed is all of 169.254.0.0/16.
        self.metadata = f"169.254.170.{number}"
        self.host_side = f"198.51.100.{number + 100}"

    def stop(self) -> None:
        links.remove(self.interface, self.path)


def _linked(ip: Any, number: int, outer: int) -> bool:
    """Whether the machine with this number is ours now; nobody else's may be."""
    try:
        ip.link("add", kind="veth", ifname="up", peer={"ifname": f"outside{number}", "net_ns_fd": outer})
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise
        return False
    return True


def host_addresses() -> list[str]:
    """Addresses of the host that stay: not those of instances, and of machines of other tests."""
    with links.netlink() as ip:
        found = [a.get_attr("IFA_ADDRESS") for a in ip.get_addr(family=socket.AF_INET)]
    return [a for a in found if not a.startswith(("127.", "169.254.", "10.254.", "198.51.100."))]


def inventory(prefix: str) -> dict[str, object]:
    """What the host has of the node with this prefix. The pool's blackhole is told by its table."""
    with Nft() as nft, links.netlink() as ip:
        names = [link.get_attr("IFLA_IFNAME") for link in ip.get_links()]
        tables = nft.tables()
    return {
        "tables": sorted(t for t in tables if t == f"paasd_{prefix}"),
        "interfaces": sorted(n for n in names if n.startswith(f"pd{prefix}-")),
        "namespaces": [str(m) for m in mounts.mounted_below(Path("/run")) if "/netns/" in str(m) and prefix in str(m)],
    }


async def inside(attachment: Attachment, work: Callable[[], T]) -> T:
    """Run `work` as a process of the instance would see the network."""
    return await trio.to_thread.run_sync(partial(links.in_namespace, work, attachment.netns_path))


async def out_there(machine: Outside, work: Callable[[], T]) -> T:
    return await trio.to_thread.run_sync(partial(links.in_namespace, work, machine.path))


def connects(address: str, port: int, timeout_s: float = 5.0) -> bool:
    """Whether a TCP connection comes to be. A refusal and silence are both no; waits long, for machines under load."""
    try:
        socket.create_connection((address, port), timeout_s).close()
    except OSError:
        return False
    return True


def listening(address: str, port: int = 0, family: int = socket.AF_INET) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    sock.listen(256)
    return sock


def datagrams(address: str, port: int = 0) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(5)
    sock.bind((address, port))
    return sock


@contextmanager
def server(make: Callable[[], socket.socket]) -> Iterator[int]:
    """A listening socket for the time of the block; yields its port. The backlog takes connections by itself."""
    with make() as sock:
        yield sock.getsockname()[1]
