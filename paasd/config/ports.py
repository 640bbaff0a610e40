"""Which ports the operator sets aside for TCP routes, and whether the node may. Pure."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from paasd.errors import ConfigError

if TYPE_CHECKING:
    from paasd.config.file import Config

Ranges = tuple[tuple[int, int], ...]
"""First and last port of each, both included."""

LOWEST: Final = 1024
COUNT_LIMIT: Final = 10_000
"""Each port in use is a listener in the Envoy of every node."""
KNOB: Final = "[router] tcp_ports"


def port_ranges(text: str) -> Ranges:
    """The ranges of `20000-20099, 20200`, in order. Raises ConfigError."""
    found = sorted(_range(part.strip()) for part in text.split(",") if part.strip())
    for (_, last), (first, _) in pairwise(found):
        if first <= last:
            raise ConfigError(f"{KNOB}: port {first} is named twice")
    if (count := port_count(found)) > COUNT_LIMIT:
        raise ConfigError(f"{KNOB} names {count} ports; at most {COUNT_LIMIT} can be set aside")
    return tuple(found)


def _range(part: str) -> tuple[int, int]:
    first, dash, last = part.partition("-")
    ends = [first.strip(), last.strip()] if dash else [first.strip()]
    if not all(end.isascii() and end.isdigit() and len(end) <= 5 for end in ends):
        raise ConfigError(f"{KNOB}: {part!r} is neither a port nor a range such as 20000-20099")
    low, high = int(ends[0]), int(ends[-1])
    if not LOWEST <= low <= high <= 65535:
        raise ConfigError(f"{KNOB}: {part!r} is not within {LOWEST} to 65535, lowest first")
    return low, high


def port_count(ranges: Sequence[tuple[int, int]]) -> int:
    """How many ports there are."""
    return sum(high - low + 1 for low, high in ranges)


def in_words(ranges: Sequence[tuple[int, int]]) -> str:
    """As people write them, which is how Cloud Foundry shows them, too."""
    return ",".join(f"{low}-{high}" if high > low else str(low) for low, high in ranges)


def check_ports(config: "Config", ephemeral: tuple[int, int], spared: Ranges) -> None:
    """Raise ConfigError unless nothing else may take the ports of TCP routes.

    `ephemeral` are those that the kernel gives away by itself, but for those `spared`.
    """
    ranges = port_ranges(config.router.tcp_ports)
    for knob, port in _own(config):
        if port and any(low <= port <= high for low, high in ranges):
            raise ConfigError(f"{KNOB} holds {port}, which is {knob}: leave it out of the range, or set another {knob}")
    for low, high in _cut(ranges, ephemeral):
        if not any(first <= low and high <= last for first, last in spared):
            raise ConfigError(
                f"{KNOB}: the kernel gives away {low}-{high} to outgoing connections, so a route's port might be taken:"
                f" choose ports below {ephemeral[0]}, or add these to what every node keeps back (`sysctl"
                " net.ipv4.ip_local_reserved_ports`)"
            )


def _own(config: "Config") -> Iterator[tuple[str, int]]:
    yield "[router] http_port", config.router.http_port
    yield "[router] https_port", config.router.https_port
    yield "[api] port", config.api.port
    yield "[ssh] port", config.ssh.port
    for name in ("peer_port", "tunnel_port", "etcd_client_port", "etcd_peer_port"):
        yield f"[cluster] {name}", getattr(config.cluster, name)


def _cut(ranges: Ranges, other: tuple[int, int]) -> Iterator[tuple[int, int]]:
    for low, high in ranges:
        if low <= other[1] and other[0] <= high:
            yield max(low, other[0]), min(high, other[1])
