"""Namespaces, veth pairs, addresses and routes of instances, by netlink. Every function blocks: use a thread.

An instance's end is `eth0` with a /32 and the default route over 169.254.1.1; the host's end has 169.254.1.1/32 and a
route to that one address. There is no shared segment, so there is nothing to spoof on it.
"""

import ctypes
import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, TypeVar

import structlog
from pyroute2 import IPRoute
from pyroute2.ethtool.ioctl import EthtoolError, IoctlEthtool
from pyroute2.netlink.exceptions import NetlinkError

from paasd.sandbox import mounts
from paasd.sandbox.network.rules import LINK_ADDRESS

_CLONE_NEWNET = 0x40000000
_RT_MAIN, _RT_SCOPE_LINK, _RTN_BLACKHOLE = 254, 253, 6
# Marks our own routes, see /etc/iproute2/rt_protos: numbers from 192 on are free for programs like this one.
ROUTE_PROTOCOL = 213
INSIDE = "eth0"

T = TypeVar("T")
_libc = ctypes.CDLL(None, use_errno=True)


def in_namespace(work: Callable[[], T], path: Path | None = None) -> T:
    """Run `work` in the network namespace at `path`, or in a new one, on a thread that ends with it.

    A thread of a pool would have to come back, and could fail to; one that ends takes its namespace with it.
    """
    outcome: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            if path is None:
                _check(_libc.unshare(_CLONE_NEWNET), "unshare")
            else:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    _check(_libc.setns(fd, _CLONE_NEWNET), str(path))
                finally:
                    os.close(fd)
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001, ASYNC103 - the caller's thread raises it
            failure.append(error)

    thread = threading.Thread(target=run, name="netns")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


@contextmanager
def netlink() -> Iterator[Any]:
    """A netlink socket of the calling thread's namespace. pyroute2 has no types, hence Any.

    What the kernel refuses comes out as OSError, which pyroute2's own error is not.
    """
    try:
        with IPRoute() as ip:
            yield ip
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code), "netlink") from error


def create(path: Path, interface: str, address: IPv4Address, mtu: int, outer: int) -> None:
    """Make a namespace bound at `path` with its veth pair; `outer` is an fd of the host's namespace.

    The host's end is left down: `connect` brings it up after its sysctls are set.
    """

    def inside() -> None:
        # Bound first: from here on a crash leaves something that a sweep can find.
        mounts.bind_file(f"/proc/self/task/{threading.get_native_id()}/ns/net", path)
        # lo keeps ::1, so that apps which bind [::] work and take IPv4 as v4-mapped; eth0 will have no IPv6.
        _sysctl("net/ipv6/conf/default/disable_ipv6", "1")
        _sysctl("net/ipv6/conf/lo/disable_ipv6", "0")
        _sysctl("net/ipv6/bindv6only", "0")
        _sysctl("net/ipv4/ip_unprivileged_port_start", "1024")
        with netlink() as ip:
            ip.link("set", index=1, state="up")
            ip.link(
                "add", kind="veth", ifname=INSIDE, mtu=mtu, peer={"ifname": interface, "net_ns_fd": outer, "mtu": mtu}
            )
            _send_no_trains()
            index = ip.link_lookup(ifname=INSIDE)[0]
            ip.addr("add", index=index, address=str(address), prefixlen=32)
            ip.link("set", index=index, state="up")
            ip.route("add", dst=f"{LINK_ADDRESS}/32", oif=index, scope=_RT_SCOPE_LINK)
            ip.route("add", dst="default", gateway=LINK_ADDRESS, oif=index)

    in_namespace(inside)


def _send_no_trains() -> None:
    """Cut what UDP_SEGMENT sends before it leaves, or limits of packets would let 128 datagrams pass as one.

    Nobody inside has the right to switch this on again.
    """
    ethtool = IoctlEthtool(INSIDE)
    try:
        features = ethtool.get_features()
        features["tx-udp-segmentation"] = False
        ethtool.set_features(features)
    except (OSError, KeyError, EthtoolError) as error:
        # The resolver takes no more of a train than a few, so an instance may start.
        structlog.get_logger().warning("trains of datagrams not switched off", error=repr(error))
    finally:
        ethtool.close()


def connect(interface: str, address: IPv4Address) -> None:
    """The host's end: no IPv6, strict reverse path, forwarding for this interface alone; then address and route."""
    _sysctl(f"net/ipv6/conf/{interface}/disable_ipv6", "1")
    for knob, value in (("rp_filter", "1"), ("forwarding", "1"), ("accept_redirects", "0"), ("send_redirects", "0")):
        _sysctl(f"net/ipv4/conf/{interface}/{knob}", value)
    with netlink() as ip:
        index = ip.link_lookup(ifname=interface)[0]
        ip.addr("add", index=index, address=LINK_ADDRESS, prefixlen=32)
        ip.link("set", index=index, state="up")
        ip.route("add", dst=f"{address}/32", oif=index, scope=_RT_SCOPE_LINK, proto=ROUTE_PROTOCOL)


def remove(interface: str, path: Path) -> None:
    """Take the pair and the namespace away, whatever of them exists. Sockets and processes in it lose the network."""
    with netlink() as ip:
        for index in ip.link_lookup(ifname=interface):
            _unless(errno.ENODEV, partial(ip.link, "del", index=index))
    while mounts.unmount(path, lazy=True):
        pass
    path.unlink(missing_ok=True)


def addresses_by_interface(prefix: str) -> dict[str, IPv4Address | None]:
    """Our interfaces whose name starts with `prefix`, and the address that is routed to each."""
    with netlink() as ip:
        names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in ip.get_links()}
        ours: dict[str, IPv4Address | None] = {name: None for name in names.values() if name.startswith(prefix)}
        for route in ip.get_routes(table=_RT_MAIN, proto=ROUTE_PROTOCOL):
            name = names.get(route.get_attr("RTA_OIF"))
            if name in ours:
                ours[name] = IPv4Address(route.get_attr("RTA_DST"))
    return ours


def foreign_networks() -> list[IPv4Network]:
    """IPv4 ranges that the host itself routes, other than default routes and those of nodes of ours."""
    found = []
    with netlink() as ip:
        for route in ip.get_routes(family=2):
            destination = route.get_attr("RTA_DST")
            if destination is not None and route["proto"] != ROUTE_PROTOCOL and route["dst_len"] > 0:
                found.append(IPv4Network((destination, route["dst_len"]), strict=False))
    return found


def hold_pool(pool: IPv4Network) -> None:
    """A blackhole for the pool: packets to addresses without an instance end here, not at the default gateway."""
    with netlink() as ip:
        ip.route("replace", dst=str(pool), type=_RTN_BLACKHOLE, proto=ROUTE_PROTOCOL)


def release_pool(pool: IPv4Network) -> None:
    """Take the blackhole of a pool away, if it is there."""
    with netlink() as ip:
        _unless(errno.ESRCH, lambda: ip.route("del", dst=str(pool), type=_RTN_BLACKHOLE, proto=ROUTE_PROTOCOL))


def held_pools() -> set[IPv4Network]:
    """Pools with a blackhole of ours."""
    with netlink() as ip:
        return {
            IPv4Network((route.get_attr("RTA_DST"), route["dst_len"]))
            for route in ip.get_routes(table=_RT_MAIN, proto=ROUTE_PROTOCOL)
            if route["type"] == _RTN_BLACKHOLE
        }


def default_uplinks() -> dict[str, int]:
    """Interfaces of the IPv4 default routes and their MTU."""
    with netlink() as ip:
        found = {}
        for route in ip.get_default_routes(family=2):
            index = route.get_attr("RTA_OIF")
            if index is not None:
                link = ip.get_links(index)[0]
                found[link.get_attr("IFLA_IFNAME")] = link.get_attr("IFLA_MTU")
    return found


def mtu_of(names: tuple[str, ...]) -> dict[str, int]:
    """MTU of the named interfaces; a name that does not exist is left out."""
    with netlink() as ip:
        mtus = {link.get_attr("IFLA_IFNAME"): link.get_attr("IFLA_MTU") for link in ip.get_links()}
    return {name: mtus[name] for name in names if name in mtus}


def forwarding(interface: str) -> bool:
    return Path(f"/proc/sys/net/ipv4/conf/{interface}/forwarding").read_text().strip() == "1"


def set_forwarding(interface: str, on: bool) -> None:
    """Per interface: the global ip_forward stays as the operator left it. An interface that is gone is left alone."""
    try:
        _sysctl(f"net/ipv4/conf/{interface}/forwarding", "1" if on else "0")
    except FileNotFoundError:
        pass


def _sysctl(name: str, value: str) -> None:
    Path("/proc/sys", name).write_text(value)


def _unless(ignored: int, work: Callable[[], object]) -> None:
    try:
        work()
    except NetlinkError as error:
        if error.code != ignored:
            raise
