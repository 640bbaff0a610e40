"""Whether this host leaves the ports of TCP routes alone."""

from pathlib import Path
from typing import Final

from paasd.config import Config
from paasd.config.ports import Ranges, check_ports

KERNEL: Final = Path("/proc/sys/net/ipv4")


def check_tcp_ports(config: Config, kernel: Path = KERNEL) -> None:
    """Raise ConfigError, which says what to do, unless nothing else gets the ports that are set aside."""
    low, high = map(int, (kernel / "ip_local_port_range").read_text().split())
    check_ports(config, (low, high), _kept_back((kernel / "ip_local_reserved_ports").read_text()))


def _kept_back(text: str) -> Ranges:
    """The kernel joins neighbours, so no range of ours lies across two of these."""
    ranges = [part.partition("-") for part in text.strip().split(",") if part]
    return tuple((int(first), int(last or first)) for first, _, last in ranges)
