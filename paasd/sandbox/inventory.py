"""Everything on the host that carries a node's mark, for tests and for whoever doubts that a sweep was complete."""

from pathlib import Path

import msgspec

from paasd.sandbox.cgroups import CgroupDriver, detect, read_mountinfo
from paasd.sandbox.disk import loops_below
from paasd.sandbox.mounts import mounted_below
from paasd.sandbox.network.nft import Nft
from paasd.sandbox.network.rules import interface_name, table_name
from paasd.sandbox.processes import command_lines, launchers
from paasd.sandbox.slots import Slots


class Inventory(msgspec.Struct, frozen=True):
    """Two inventories are equal when the same objects exist; `difference` says what came and went."""

    cgroups: frozenset[str]
    mounts: frozenset[str]
    loops: frozenset[str]
    network: frozenset[str]
    processes: frozenset[str]
    slots: frozenset[str]
    files: frozenset[str]
    descriptors: int
    """Open descriptors of the calling process."""

    def difference(self, earlier: "Inventory") -> dict[str, list[str]]:
        """What is there now and was not (+), and what was there and is not (-), by kind."""
        found = {}
        for kind in self.__struct_fields__:
            now, before = getattr(self, kind), getattr(earlier, kind)
            if now != before:
                if isinstance(now, int):
                    found[kind] = [f"{before} -> {now}"]
                    continue
                found[kind] = [f"+{name}" for name in sorted(now - before)] + [f"-{n}" for n in sorted(before - now)]
        return found


def take_inventory(data_dir: Path, prefix: str, slots: Path, cgroup_parent: str = "") -> Inventory:
    """What exists of the node with this data directory and prefix. Blocks for some milliseconds: use a thread."""
    data_dir = data_dir.resolve()
    cgroups = CgroupDriver(detect(read_mountinfo(), cgroup_parent), prefix)
    containers, disks = data_dir / "sandbox/containers", data_dir / "disks"
    return Inventory(
        cgroups=frozenset(map(str, cgroups.directories())),
        mounts=frozenset(map(str, mounted_below(data_dir))),
        loops=frozenset(loops_below(data_dir).values()),
        network=frozenset(_network(data_dir, prefix)),
        processes=frozenset(_processes(cgroups, prefix)),
        slots=frozenset(f"{slot} {guid}" for guid, slot in Slots(slots, data_dir).mine().items()),
        files=frozenset(str(path) for root in (containers, disks) if root.exists() for path in root.iterdir()),
        descriptors=len(list(Path("/proc/self/fd").iterdir())),
    )


def _network(data_dir: Path, prefix: str) -> list[str]:
    start = interface_name(prefix, 0)[:-1]
    found = [f"interface {path.name}" for path in Path("/sys/class/net").glob(f"{start}*")]
    namespaces = data_dir / "run/netns"
    if namespaces.exists():
        found += [f"namespace {path.name}" for path in namespaces.iterdir()]
    with Nft() as nft:
        table = table_name(prefix)
        if table in nft.tables():
            found += [f"{kind} {name}" for kind in ("chain", "set", "map") for name in nft.names(table, kind)]
    return found


def _processes(cgroups: CgroupDriver, prefix: str) -> list[str]:
    """By title for those outside, by cgroup for those inside."""
    lines = command_lines()
    found = [f"{pid} {line}" for pid, line in launchers(prefix).items()]
    inside = {pid for guid in cgroups.guids() for pid in cgroups.pids(guid)}
    return found + [f"{pid} {lines.get(pid, '')}" for pid in inside]


def processes_of(prefix: str, cgroup_parent: str = "") -> dict[str, list[int]]:
    """Pids of this node's launcher processes: "zygote", "shim", and "pid1" of each container."""
    cgroups = CgroupDriver(detect(read_mountinfo(), cgroup_parent), prefix)
    lines = command_lines()
    inside = {pid for guid in cgroups.guids() for pid in cgroups.pids(guid)}
    return {
        "zygote": [pid for pid, line in launchers(prefix).items() if line.startswith("paasd-zygote")],
        "shim": [pid for pid, line in launchers(prefix).items() if line.startswith("paasd-shim")],
        "pid1": [pid for pid in inside if lines.get(pid) == "init"],
    }
