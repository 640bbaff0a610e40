"""Control groups: one driver over v1 and v2, chosen for each controller by what this host has mounted where.

A container is a leaf `paasd-<prefix>/<guid>` in the v2 tree and in each v1 hierarchy that has a controller we need.
Only pid 1 of the container and what it forks are inside; the shim never is, so that a leaf can be emptied and removed.
Calls block for well under a millisecond, except `remove`, which the kernel may keep waiting: use a thread.
Sources: cgroup-v2.rst and cgroup-v1/*.rst of the kernel.
"""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from paasd.sandbox.launcher.syscalls import take_turns
from paasd.sandbox.records import Limits, SandboxError

_CONTROLLERS = ("memory", "pids", "cpu", "cpuacct")
# Only of v2, and only where there is one: v1's throttles direct writes alone, which hardly any program makes.
_V2_CONTROLLERS = (*_CONTROLLERS, "io", "cpuset")
# Without it, all containers run on all processors.
_V1_CONTROLLERS = (*_CONTROLLERS, "cpuset")
# Who has used up a quota waits for the rest of the period, and all who have one begin anew at once: the shorter it is,
# the shorter do they crowd out others.
_PERIOD_US = 20_000
_LEAST_QUOTA_US = 1000
_V1_SHARES = 1024
_HOLDER = "holder"
_HOLDER_UNIT = "/system.slice/paasd-holder.service"


class Hierarchy(msgspec.Struct, frozen=True):
    """One mounted tree. `base` is the directory below which this node makes its own."""

    base: Path
    v2: bool
    controllers: frozenset[str]


class Tally(msgspec.Struct, frozen=True):
    """What the kernel counted for one container."""

    cpu_ns: int
    memory_bytes: int
    pids: int


def read_mountinfo() -> str:
    return Path("/proc/self/mountinfo").read_text()


def detect(mountinfo: str, parent: str = "") -> tuple[Hierarchy, ...]:
    """The hierarchies in use, read from the text of /proc/self/mountinfo. `parent` is a path below each root; "" takes
    the holder unit's where it runs, else the root itself.

    Raises SandboxError when a controller that limits tenants is nowhere.
    """
    found: list[Hierarchy] = []
    for line in mountinfo.splitlines():
        left, _dash, right = line.partition(" - ")
        fstype, _source, options = (*right.split(" "), "", "")[:3]
        mounted = Path(left.split(" ")[4])
        if fstype == "cgroup2" and not any(one.v2 for one in found):
            base = _with_parent(mounted, parent)
            found.append(Hierarchy(base, True, frozenset(_words(base / "cgroup.controllers")) & set(_V2_CONTROLLERS)))
        elif fstype == "cgroup":
            names, base = frozenset(options.split(",")) & set(_V1_CONTROLLERS), _with_parent(mounted, parent)
            names -= set() if _words(base / "cpuset.cpus") else {"cpuset"}
            if names and not any(one.base == mounted for one in found):
                found.append(Hierarchy(base, False, names))
    have = {name for one in found for name in one.controllers}
    have |= {"cpuacct"} if any(one.v2 for one in found) else set()  # cpu.stat is there without any controller.
    missing = set(_CONTROLLERS) - have
    if missing:
        raise SandboxError(
            f"this host has no cgroup controller for {', '.join(sorted(missing))}; "
            "mount cgroup2 on /sys/fs/cgroup, or delegate the controllers to the holder unit"
        )
    return tuple(found)


def _with_parent(mounted: Path, parent: str) -> Path:
    base = mounted / (parent or _HOLDER_UNIT).lstrip("/")
    return base if base.is_dir() else mounted


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


class CgroupDriver:
    """Makes, measures, empties and removes the leaves of one node."""

    def __init__(self, hierarchies: Sequence[Hierarchy], prefix: str) -> None:
        self._hierarchies = tuple(hierarchies)
        self._name = f"paasd-{prefix}"
        self._never_killed: set[str] = set()

    def open(self) -> None:
        """Make the node's own directories, which stay until `close`."""
        for one in self._hierarchies:
            node = one.base / self._name
            node.mkdir(parents=True, exist_ok=True)
            if one.v2:
                self._delegate(one)
            if "cpu" in one.controllers:
                _weigh(node, one.v2)
            if "pids" in one.controllers:
                (node / "pids.max").write_text(str(most_processes()))
            if "cpuset" in one.controllers and not one.v2:
                _place_v1(node)

    def create(self, guid: str, limits: Limits) -> None:
        """Make the leaves and set their limits. Idempotent."""
        for one in self._hierarchies:
            leaf = self._leaf(one, guid)
            if one.v2 and not leaf.exists():
                self._never_killed.add(guid)
            leaf.mkdir(parents=True, exist_ok=True)
            (_limit_v2 if one.v2 else _limit_v1)(leaf, one.controllers, limits)

    def throttle(self, guid: str, device: int, bytes_per_s: int) -> bool:
        """Hold what the container writes to a block device, also by way of the page cache. False on cgroup v1."""
        for one in self._hierarchies:
            if "io" in one.controllers:
                limit = f"{os.major(device)}:{os.minor(device)} wbps={bytes_per_s}"
                (self._leaf(one, guid) / "io.max").write_text(limit)
                return True
        return False

    def entry_files(self, guid: str) -> list[str]:
        """Files into which a process with one thread writes "0" to enter the leaves, its `birthplace` excepted.

        Those of v1 are `tasks`: a thread that moves itself does not wait, as any other move does, until all processors
        have taken notice (10 to 20 ms).
        """
        files = [str(self._leaf(one, guid) / "tasks") for one in self._hierarchies if not one.v2]
        if not self.birthplace(guid):
            files += [str(self._leaf(one, guid) / "cgroup.procs") for one in self._hierarchies if one.v2]
        return files

    def birthplace(self, guid: str) -> str:
        """The v2 leaf, if a process can be forked into it, which is as quick; "" if not.

        Linux 6.14 and its kin kill what is forked into a cgroup whose `cgroup.kill` was ever used (they compare its
        count of kills with that of the parent's cgroup), so it must be a leaf of which we know that it was not.
        """
        leaves = [self._leaf(one, guid) for one in self._hierarchies if one.v2]
        return str(leaves[0]) if leaves and guid in self._never_killed else ""

    def holder_files(self) -> list[str]:
        """The same for the holder unit, where there is one: what moves there outlives the daemon's own unit."""
        candidates = [one.base / _HOLDER / "cgroup.procs" for one in self._hierarchies]
        return [str(path) for path in candidates if path.exists()]

    def oom_file(self, guid: str) -> Path:
        """The file with the `oom_kill N` line of this container."""
        memory = self._of("memory")
        return self._leaf(memory, guid) / ("memory.events" if memory.v2 else "memory.oom_control")

    def oom_kills(self, guid: str) -> int:
        """How many processes of it the kernel has killed for memory; 0 when the container is gone."""
        return _keyed(self.oom_file(guid)).get("oom_kill", 0)

    def forks_refused(self, guid: str) -> int:
        """How many new processes it did not get because it had as many as it may; 0 when the container is gone."""
        return _keyed(self._leaf(self._of("pids"), guid) / "pids.events").get("max", 0)

    def tally(self, guid: str) -> Tally:
        """What it uses. Raises OSError (FileNotFoundError) when the container is gone."""
        memory, pids = self._of("memory"), self._of("pids")
        leaf = self._leaf(memory, guid)
        current = int((leaf / ("memory.current" if memory.v2 else "memory.usage_in_bytes")).read_text())
        idle = _keyed(leaf / "memory.stat").get("inactive_file" if memory.v2 else "total_inactive_file", 0)
        count = int((self._leaf(pids, guid) / "pids.current").read_text())
        return Tally(self.cpu_ns(guid), max(0, current - idle), count)

    def cpu_ns(self, guid: str) -> int:
        """The processor time it took since `create`. Raises OSError when the container is gone."""
        for one in self._hierarchies:
            if "cpuacct" in one.controllers and not one.v2:
                return int((self._leaf(one, guid) / "cpuacct.usage").read_text())
        leaf = next(self._leaf(one, guid) for one in self._hierarchies if one.v2)
        return _keyed(leaf / "cpu.stat").get("usage_usec", 0) * 1000

    def weigh(self, guid: str, weight: int) -> None:
        """Its part of the processor beside the others: 100 is usual. Raises OSError when the container is gone."""
        cpu = self._of("cpu")
        _weigh_leaf(self._leaf(cpu, guid), cpu.v2, weight)

    def processors(self) -> Sequence[int]:
        """Those that containers may run on, in order; none where the host has no cpuset controller."""
        for one in self._hierarchies:
            if "cpuset" in one.controllers:
                name = "cpuset.cpus.effective" if one.v2 else "cpuset.cpus"
                return numbers((one.base / self._name / name).read_text())
        return ()

    def confine(self, guid: str, processors: Sequence[int]) -> None:
        """Let it run on these alone. Raises OSError when the container is gone."""
        for one in self._hierarchies:
            if "cpuset" in one.controllers and processors:
                (self._leaf(one, guid) / "cpuset.cpus").write_text(",".join(map(str, processors)))

    def give_turns(self, guid: str, turn_ns: int) -> None:
        """Let each thread inside, and what it makes, run for so long at a time. Raises OSError when it is gone."""
        cpu = self._of("cpu")
        for word in (self._leaf(cpu, guid) / ("cgroup.threads" if cpu.v2 else "tasks")).read_text().split():
            with contextlib.suppress(OSError):  # A thread that has ended, or a host that forbids it.
                take_turns(turn_ns, int(word))

    def pids(self, guid: str) -> set[int]:
        """Every process inside, as this pid namespace counts."""
        inside: set[int] = set()
        for one in self._hierarchies:
            inside.update(int(word) for word in _words(self._leaf(one, guid) / "cgroup.procs"))
        return inside

    def kill_all(self, guid: str) -> bool:
        """SIGKILL to everything inside at once. False where the kernel cannot (before 5.14): kill pid 1 then."""
        self._never_killed.discard(guid)
        leaves = [self._leaf(one, guid) / "cgroup.kill" for one in self._hierarchies if one.v2]
        return any(self._write(leaf, "1") for leaf in leaves)

    def freeze(self, guid: str, frozen: bool) -> bool:
        """Stop or continue everything inside without its noticing. False when the host has no v2 tree."""
        leaves = [self._leaf(one, guid) / "cgroup.freeze" for one in self._hierarchies if one.v2]
        return any(self._write(leaf, "1" if frozen else "0") for leaf in leaves)

    def remove(self, guid: str) -> bool:
        """Remove the leaves; True when none is left. False while a process is still inside: kill, wait, try again."""
        gone = True
        self._never_killed.discard(guid)
        for one in self._hierarchies:
            try:
                self._leaf(one, guid).rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                gone = False
        return gone

    def guids(self) -> set[str]:
        """The guids that have a leaf in any hierarchy."""
        found: set[str] = set()
        for one in self._hierarchies:
            with contextlib.suppress(FileNotFoundError):
                found.update(entry.name for entry in os.scandir(one.base / self._name) if entry.is_dir())
        return found

    def close(self) -> None:
        """Take the node's own directories away when no container is left in them."""
        for one in self._hierarchies:
            with contextlib.suppress(OSError):
                (one.base / self._name).rmdir()

    def directories(self) -> list[Path]:
        """Every directory of this node: for inventories."""
        roots = [one.base / self._name for one in self._hierarchies]
        return [path for root in roots if root.exists() for path in (root, *filter(Path.is_dir, root.iterdir()))]

    def _leaf(self, one: Hierarchy, guid: str) -> Path:
        return one.base / self._name / guid

    def _of(self, controller: str) -> Hierarchy:
        return next(one for one in self._hierarchies if controller in one.controllers)

    def _delegate(self, one: Hierarchy) -> None:
        """Hand the controllers down to the leaves. A host that keeps some back (hybrid) has none to hand down."""
        node = one.base / self._name
        wanted = " ".join(f"+{name}" for name in sorted(one.controllers - {"cpuacct"}))
        if wanted:
            for directory in (one.base, node):
                (directory / "cgroup.subtree_control").write_text(wanted)

    @staticmethod
    def _write(path: Path, text: str) -> bool:
        try:
            path.write_text(text)
        except OSError:
            return False
        return True


def numbers(text: str) -> list[int]:
    """A list as the kernel writes it: "0-2,5" is 0, 1, 2 and 5."""
    found: list[int] = []
    for part in text.strip().split(","):
        first, _dash, last = part.partition("-")
        if first:
            found += range(int(first), int(last or first) + 1)
    return found


def most_processes(proc: Path = Path("/proc/sys/kernel")) -> int:
    """What all containers together may have of the processes and threads that this kernel can number and hold.

    A few instances with all that each may have would otherwise leave none to the daemon, which could start nothing.
    """
    return min(int((proc / name).read_text()) for name in ("pid_max", "threads-max")) * 3 // 4


def _place_v1(directory: Path) -> None:
    """Let it use what its parent does, without which nobody can enter it.

    Balancing of load is the root's; asked for here again, each change would have the kernel draw its map anew.
    """
    (directory / "cpuset.sched_load_balance").write_text("0")
    for name in ("cpuset.cpus", "cpuset.mems"):
        (directory / name).write_text((directory.parent / name).read_text())


def _keyed(path: Path) -> dict[str, int]:
    """A file of `name number` lines; empty when the container is gone."""
    try:
        pairs = (line.split() for line in path.read_text().splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}
    except OSError:
        return {}


def _weigh(node: Path, v2: bool) -> None:
    """All instances together count as one process on each processor beside what else the host runs.

    The kernel's own value is that of a single process, of which each instance would have a fraction.
    """
    processors = os.cpu_count() or 1
    if v2:
        (node / "cpu.weight").write_text(str(min(10_000, 100 * processors)))
    else:
        (node / "cpu.shares").write_text(str(min(262_144, _V1_SHARES * processors)))


def _weigh_leaf(leaf: Path, v2: bool, weight: int) -> None:
    if v2:
        (leaf / "cpu.weight").write_text(str(min(10_000, weight)))
    else:
        (leaf / "cpu.shares").write_text(str(min(262_144, max(2, weight * _V1_SHARES // 100))))


def _quota_us(cores: float) -> int:
    return max(_LEAST_QUOTA_US, int(cores * _PERIOD_US))


def _limit_v2(leaf: Path, controllers: frozenset[str], limits: Limits) -> None:
    if "memory" in controllers:
        (leaf / "memory.max").write_text(str(limits.memory_bytes))
        (leaf / "memory.oom.group").write_text("1")
        _optional(leaf / "memory.swap.max", "0")
    if "pids" in controllers:
        (leaf / "pids.max").write_text(str(limits.pids))
    if "cpu" in controllers:
        _weigh_leaf(leaf, True, limits.cpu_weight)
        quota = "max" if limits.cpu_cores is None else str(_quota_us(limits.cpu_cores))
        (leaf / "cpu.max").write_text(f"{quota} {_PERIOD_US}")


def _limit_v1(leaf: Path, controllers: frozenset[str], limits: Limits) -> None:
    if "memory" in controllers:
        # memsw may not be below the plain limit, so a limit that shrinks needs the other order; ours never change.
        (leaf / "memory.limit_in_bytes").write_text(str(limits.memory_bytes))
        _optional(leaf / "memory.memsw.limit_in_bytes", str(limits.memory_bytes))
    if "pids" in controllers:
        (leaf / "pids.max").write_text(str(limits.pids))
    if "cpuset" in controllers:
        _place_v1(leaf)
    if "cpu" in controllers:
        _weigh_leaf(leaf, False, limits.cpu_weight)
        quota = -1 if limits.cpu_cores is None else _quota_us(limits.cpu_cores)
        (leaf / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
        (leaf / "cpu.cfs_quota_us").write_text(str(quota))


def _optional(path: Path, text: str) -> None:
    """A knob that kernels built without swap accounting do not have."""
    with contextlib.suppress(FileNotFoundError):
        path.write_text(text)
