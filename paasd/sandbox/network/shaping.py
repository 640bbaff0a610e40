"""Bandwidth of an instance: a token bucket at each end of its pair. Both ends belong to the host. Functions block."""

from pathlib import Path

from paasd.sandbox.network.links import INSIDE, in_namespace, netlink

# A quarter of a second may wait in the bucket's queue; what comes above that is dropped, and TCP slows down.
_LATENCY_S = 0.25


def limit(interface: str, path: Path, *, upload_mbit: int, download_mbit: int) -> None:
    """Limit what the instance sends and receives, each in Mbit/s; 0 sets no limit."""
    if download_mbit:
        _token_bucket(interface, download_mbit)
    if upload_mbit:
        # The inside end is the better place for uploads: what is dropped never crosses over. Tenants cannot change it.
        in_namespace(lambda: _token_bucket(INSIDE, upload_mbit), path)


def _token_bucket(interface: str, mbit: int) -> None:
    rate = mbit * 1_000_000 // 8
    burst = max(rate // 50, 32 * 1024)
    with netlink() as ip:
        index = ip.link_lookup(ifname=interface)[0]
        ip.tc("add", "tbf", index, rate=rate, burst=burst, latency=f"{int(_LATENCY_S * 1000)}ms")
