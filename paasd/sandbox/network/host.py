"""What a node claims of the host: a pool of addresses, its table, forwarding on the uplinks. Functions block.

Nodes of one host agree by the kernel's own records (tables, routes) under a file lock; there is no other state.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path

import structlog

from paasd.config import NetworkConfig
from paasd.errors import ConfigError
from paasd.sandbox.network import links, rules
from paasd.sandbox.network.addresses import choose_pool
from paasd.sandbox.network.nft import Nft

LOCK = Path("/run/paasd-network.lock")


@contextmanager
def host_lock() -> Iterator[None]:
    """Nodes of one host take turns; held for milliseconds."""
    fd = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def claim(nft: Nft, prefix: str, config: NetworkConfig) -> tuple[IPv4Network, int]:
    """Take or take again the node's pool, load its table, let the uplinks forward. Returns the pool and the MTU."""
    with host_lock():
        pools = _pools(nft)
        for stale in links.held_pools() - set(pools.values()):
            if stale.subnet_of(IPv4Network(config.supernet)):
                links.release_pool(stale)
        pool = pools.get(rules.table_name(prefix))
        if pool is None:
            taken = [*pools.values(), *links.foreign_networks()]
            pool = choose_pool(prefix, IPv4Network(config.supernet), config.pool_prefix_length, taken)
        nft.run(rules.node_table(prefix, pool, config))
        links.hold_pool(pool)
        uplinks = links.mtu_of(config.uplinks) if config.uplinks else links.default_uplinks()
        missing = set(config.uplinks) - set(uplinks)
        if missing:
            raise ConfigError(f"[network] uplinks names {', '.join(sorted(missing))}, which this host does not have")
        _forward(nft, uplinks)
    return pool, config.mtu or min(uplinks.values(), default=1500)


def _pools(nft: Nft) -> dict[str, IPv4Network]:
    """Pool of each node of this host, by table."""
    found = {}
    for table in nft.tables():
        if re.fullmatch(r"paasd_[0-9a-z]{1,6}", table) and table != rules.HOST_TABLE:
            for element in nft.elements(table, "pool"):
                if isinstance(element, dict) and "prefix" in element:
                    prefix = element["prefix"]
                    found[table] = IPv4Network((prefix["addr"], prefix["len"]))
    return found


def _forward(nft: Nft, uplinks: dict[str, int]) -> None:
    """Replies come in over the uplinks, so these must forward; those that did not get a guard against strangers."""
    closed = [name for name in uplinks if not links.forwarding(name)]
    if not closed:
        return
    nft.run(rules.host_guard(closed))
    for name in closed:
        links.set_forwarding(name, True)
    structlog.get_logger().info("forwarding switched on", interfaces=closed)


def give_back(nft: Nft, prefix: str, pool: IPv4Network) -> None:
    """Undo `claim`; the last node of the host also restores forwarding on the uplinks."""
    with host_lock():
        table = rules.table_name(prefix)
        if table in nft.tables():
            nft.run(f"delete table inet {table}")
        links.release_pool(pool)
        tables = nft.tables()
        if rules.HOST_TABLE in tables and not any(t.startswith("paasd_") and t != rules.HOST_TABLE for t in tables):
            for name in nft.elements(rules.HOST_TABLE, "forwarding"):
                links.set_forwarding(str(name), False)
            nft.run(f"delete table inet {rules.HOST_TABLE}")
