"""The host is left as it was found: nothing of a node of this run may be there when the run is over."""

import functools
import os
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
import pytest

from paasd.sandbox import node_prefix, take_inventory
from paasd.sandbox.sandbox import SLOTS
from tests.own_host import own_host

# What was killed last may take the kernel a moment.
_PATIENCE_S = 20.0
_DEPTH = 4

_read_authorities = httpx._transports.default.create_ssl_context
_usual_authorities = functools.cache(lambda *_: _read_authorities())


def _authorities(
    verify: ssl.SSLContext | str | bool = True, cert: Any = None, trust_env: bool = True
) -> ssl.SSLContext:
    """Each client of httpx reads all authorities that this machine trusts, for 30 ms, also where there is no TLS. Here
    the clients of one process share them."""
    if verify is True and cert is None and trust_env:
        return _usual_authorities(*map(_as_of, ("SSL_CERT_FILE", "SSL_CERT_DIR")))
    return _read_authorities(verify=verify, cert=cert, trust_env=trust_env)


def _as_of(variable: str) -> tuple[str, int]:
    """What it names, and when that was changed."""
    named = Path(os.environ.get(variable, ""))
    return str(named), named.stat().st_mtime_ns if named.exists() else 0


httpx._transports.default.create_ssl_context = _authorities


@pytest.hookimpl(trylast=True)  # others talk to the process that hands tests out, by loopback
def pytest_configure(config: pytest.Config) -> None:
    """Whoever runs tests as root does so on a host of its own; not so who only hands them out."""
    if os.geteuid() == 0 and not config.getoption("numprocesses", None) and not config.option.collectonly:
        host = own_host()
        host.__enter__()
        config.add_cleanup(lambda: host.__exit__(None, None, None))


@pytest.fixture(scope="session", autouse=True)
def host_left_as_found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Objects with the mark of a data directory of this run, mounts and loops below it, processes that it started."""
    base = tmp_path_factory.getbasetemp()
    before = set(psutil.Process().children(recursive=True))
    yield
    deadline = time.monotonic() + _PATIENCE_S
    while (left := _left(base, before)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == {}, f"left on the host by this run: {left}"


def _left(base: Path, before: set[psutil.Process]) -> dict[str, list[str]]:
    children = set(psutil.Process().children(recursive=True)) - before
    found = {"children": [str(child) for child in children if _lives(child)]}
    found["mounts"] = [line for line in Path("/proc/self/mounts").read_text().splitlines() if f" {base}/" in line]
    if os.geteuid() == 0:
        for directory in _data_directories(base):
            objects = msgspec.structs.asdict(take_inventory(directory, node_prefix(directory), SLOTS))
            for kind in ("cgroups", "loops", "network", "processes", "slots"):
                found.setdefault(kind, []).extend(sorted(objects[kind]))
    return {kind: names for kind, names in found.items() if names}


def _data_directories(base: Path) -> set[Path]:
    """A node makes `sandbox/lock` before it makes anything on the host."""
    locks = (lock for depth in range(_DEPTH) for lock in base.glob("*/" * depth + "sandbox/lock"))
    return {lock.parent.parent.resolve() for lock in locks}


def _lives(process: psutil.Process) -> bool:
    """What has ended and is not waited for, on purpose, does no harm."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
