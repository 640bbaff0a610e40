"""One daemon with a canary on it, for tests that do their worst to it: who answers, and what is left behind."""

import subprocess
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil
import trio

from paasd.config import StateConfig
from paasd.sandbox import Inventory, node_prefix, take_inventory
from paasd.sandbox.sandbox import SLOTS
from tests.node.daemon import Daemon, Load, end_all
from tests.node.harness import HELLO, Pusher, clients

CANARY = "canary"
RATE_PER_S = 20.0
SETTLE_LIMIT_S = 30.0
STATE_CONNECTIONS = 1 + StateConfig().readers  # kept once opened, so a busy moment may add some
# Small, so that what is meant to break a limit breaks it soon; crashed instances wait, so that each crashes once.
# It goes on with [router], where Daemon ends: one worker means one access log connection, from the first request on.
SECTIONS = """workers = 1
[staging]
timeout_s = 20
pids = 64
entries_limit = 5000
unpacked_limit_bytes = 67_108_864
log_limit_bytes_per_s = 65_536
[apps]
memory_mb = 64
disk_mb = 64
build_memory_mb = 256
build_disk_mb = 128
[supervisor]
immediate_restarts = 0
backoff_s = 600
stop_grace_s = 1
drain_s = 0.1
pids = 64
[disk]
reserve_mb = 0
"""
# A buildpack that does what the app's build.sh says: the way in for a hostile build.
BUILDPACK = {
    "detect": "#!/bin/sh\nexit 1\n",
    "compile": '#!/bin/sh\ncd "$1" && exec sh ./build.sh\n',
    "release": "#!/bin/sh\necho '--- {default_process_types: {web: python3 server.py}}'\n",
}


class Left(msgspec.Struct, frozen=True):
    """What a node has on its host, and its daemon open, at one moment."""

    host: Inventory
    descriptors: dict[str, int]
    children: frozenset[str]
    files: frozenset[str]

    def difference(self, earlier: "Left") -> dict[str, Any]:
        """What came and went; connections that a client kept open and then closed are no difference."""
        found: dict[str, Any] = dict(self.host.difference(earlier.host))
        more = Counter(self.descriptors) - Counter(earlier.descriptors)
        for name, count in self.descriptors.items():
            if Path(name).name in ("state.db", "state.db-wal") and count <= STATE_CONNECTIONS:
                del more[name]
        if more:
            found["daemon's descriptors"] = dict(more)
        for kind in ("children", "files"):
            now, before = getattr(self, kind), getattr(earlier, kind)
            if now != before:
                found[kind] = [f"+{name}" for name in now - before] + [f"-{name}" for name in before - now]
        return found


class Site:
    """A daemon and its canary. `load` asks the canary all the time."""

    def __init__(self, daemon: Daemon, load: Load) -> None:
        self.daemon = daemon
        self.load = load

    @property
    def data(self) -> Path:
        return self.daemon.data

    def left(self) -> Left:
        """Everything of the node that a test could leave behind."""
        assert self.daemon.process is not None
        process = psutil.Process(self.daemon.process.pid)
        host = take_inventory(self.data, node_prefix(self.data), SLOTS)
        folders = (self.data / "blobs/incoming", self.data / "staging/builds")
        return Left(
            host=msgspec.structs.replace(host, descriptors=0),
            descriptors=_descriptors(process.pid),
            children=frozenset(str(child.pid) for child in process.children()),
            files=frozenset(str(path) for folder in folders if folder.exists() for path in folder.iterdir()),
        )

    @contextmanager
    def unharmed(self) -> Iterator[None]:
        """The canary answers every request of the block, and nothing is left after it."""
        before, answered = self.left(), self.load.answers["200"]
        yield
        deadline = time.monotonic() + SETTLE_LIMIT_S
        while (difference := self.left().difference(before)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert difference == {}, difference
        while self.load.answers["200"] == answered and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self.load.answers["200"] > answered, "the canary was not asked"
        assert self.load.failed == {}
        assert len(self.load.bodies) == 1, "the canary was restarted"

    @asynccontextmanager
    async def pusher(self) -> AsyncIterator[Pusher]:
        async with clients(self.data, self.daemon.socket) as (api, web):
            yield Pusher(api, web, self.daemon.https_port)


def _descriptors(pid: int) -> dict[str, int]:
    """How many of each kind; numbers of sockets and pipes say nothing."""
    found: Counter[str] = Counter()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found[str(path.readlink()).partition(":[")[0].partition(" (deleted)")[0]] += 1
        except FileNotFoundError:
            continue
    return dict(found)


@contextmanager
def open_site(directory: Path) -> Iterator[Site]:
    """A daemon on a small disk of its own, with the canary running and asked. All of it is gone afterwards."""
    data, packs = directory / "d", directory / "buildpack"
    (packs / "bin").mkdir(parents=True)
    for name, text in BUILDPACK.items():
        (packs / "bin" / name).write_text(text)
        (packs / "bin" / name).chmod(0o755)
    data.mkdir()
    with small_disk(directory / "disk.img", data, size_mb=4096):
        daemon = Daemon(data, f'{SECTIONS}[staging.buildpacks]\nshell = "{packs}"\n')
        try:
            yield from _serve(daemon)
        finally:
            if daemon.process is not None:
                daemon.process.kill()
                daemon.process.wait()
            end_all(daemon)


def _serve(daemon: Daemon) -> Iterator[Site]:
    trio.run(daemon.start)
    load = Load(daemon.https_port, f"{CANARY}.apps.localhost", daemon.data / "certificates" / "ca.pem", RATE_PER_S)
    site = Site(daemon, load)
    trio.run(_push_canary, site)
    with _running(load):
        deadline = time.monotonic() + SETTLE_LIMIT_S
        while load.answers["200"] < RATE_PER_S and time.monotonic() < deadline:
            time.sleep(0.05)
        yield site


async def _push_canary(site: Site) -> None:
    async with site.pusher() as pusher:
        result = await pusher.push(CANARY, HELLO)
        assert result["type"] == "result", result


@contextmanager
def _running(load: Load) -> Iterator[None]:
    """The load in a loop of its own: it goes on between the loops of the tests."""
    scope, started = trio.CancelScope(), threading.Event()
    token: list[trio.lowlevel.TrioToken] = []

    async def run() -> None:
        token.append(trio.lowlevel.current_trio_token())
        started.set()
        with scope:
            await load.run()

    thread = threading.Thread(target=trio.run, args=(run,))
    thread.start()
    started.wait()
    try:
        yield
    finally:
        token[0].run_sync_soon(scope.cancel)
        thread.join()


@contextmanager
def small_disk(image: Path, target: Path, size_mb: int) -> Iterator[None]:
    """A file system of its own on `target`, in a sparse file."""
    with image.open("wb") as file:
        file.truncate(size_mb * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=1", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(target)], check=True)
    try:
        yield
    finally:
        # Whatever still holds it must not keep others from clearing away the directory.
        subprocess.run(["umount", "--lazy", str(target)], check=True)
        image.unlink()
