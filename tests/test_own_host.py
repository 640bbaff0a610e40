"""What root's tests do to networks and mounts meets neither this machine nor other processes of tests."""

import os
import socket
from pathlib import Path

import pytest

from paasd.sandbox import mounts
from paasd.sandbox.network import links

pytestmark = pytest.mark.root
MACHINE = Path(f"/proc/{os.getppid()}")
"""Who started this process, or hands the tests out to it, stayed there."""


def test_networks_and_mounts_are_not_the_machines() -> None:
    for kind in ("net", "mnt"):
        assert Path("/proc/self/ns", kind).readlink() != (MACHINE / "ns" / kind).readlink(), kind


def test_it_looks_like_a_machine_with_one_uplink() -> None:
    assert list(links.default_uplinks()) == ["eth0"]
    assert {name for _, name in socket.if_nameindex()} <= {path.name for path in Path("/sys/class/net").iterdir()}
    assert mounts.mounted_below(Path("/sys/fs/cgroup")), "cgroups are where they were"


def test_what_is_mounted_here_is_seen_by_nobody_else(tmp_path: Path) -> None:
    mounts.mount("none", tmp_path, "tmpfs", 0)
    try:
        assert mounts.mounted_below(tmp_path) == [tmp_path]
        assert f" {tmp_path} " not in (MACHINE / "mountinfo").read_text()
        assert " / " in (MACHINE / "mountinfo").read_text(), "its mounts can be read"
    finally:
        mounts.unmount(tmp_path)
