"""Which hierarchies are used where, and that the driver leaves nothing behind."""

import os
import secrets
import subprocess
from pathlib import Path

import pytest

from paasd.sandbox import SandboxError
from paasd.sandbox.cgroups import CgroupDriver, detect, most_processes, numbers, read_mountinfo

from .place import MIB, SMALL, turn_ns

_LINE = "30 20 0:{n} / {path} rw,relatime - {fstype} {fstype} rw{options}\n"


def mountinfo(root: Path, v1: tuple[str, ...] = (), v2: str | None = None, controllers: str = "") -> str:
    text = "20 1 254:0 / / rw - ext4 /dev/vda rw\n"
    for n, names in enumerate(v1):
        text += _LINE.format(n=n, path=root / names, fstype="cgroup", options=f",{names}")
    if v2 is not None:
        (root / v2).mkdir(parents=True, exist_ok=True)
        (root / v2 / "cgroup.controllers").write_text(controllers)
        text += _LINE.format(n=99, path=root / v2, fstype="cgroup2", options="")
    return text


def test_pure_v2_is_one_hierarchy_with_all_controllers(tmp_path: Path) -> None:
    (found,) = detect(mountinfo(tmp_path, v2="cg", controllers="cpuset cpu io memory pids"))
    assert (found.v2, found.base, found.controllers) == (
        True,
        tmp_path / "cg",
        {"cpu", "cpuset", "io", "memory", "pids"},
    )


def test_pure_v1_takes_the_hierarchies_that_matter_also_joined_ones(tmp_path: Path) -> None:
    found = detect(mountinfo(tmp_path, v1=("cpu,cpuacct", "memory", "pids", "devices", "name=systemd")))
    assert [sorted(one.controllers) for one in found] == [["cpu", "cpuacct"], ["memory"], ["pids"]]
    assert not any(one.v2 for one in found)


def test_hybrid_uses_each_controller_where_it_is(tmp_path: Path) -> None:
    found = detect(mountinfo(tmp_path, v1=("cpu", "cpuacct", "memory"), v2="unified", controllers="pids hugetlb"))
    assert {one.base.name: sorted(one.controllers) for one in found} == {
        "cpu": ["cpu"],
        "cpuacct": ["cpuacct"],
        "memory": ["memory"],
        "unified": ["pids"],
    }


def test_a_hierarchy_for_processors_is_used_where_it_has_some(tmp_path: Path) -> None:
    for name in ("cpu", "cpuacct", "memory", "pids", "cpuset"):
        (tmp_path / name).mkdir()
    text = mountinfo(tmp_path, v1=("cpu", "cpuacct", "memory", "pids", "cpuset"))
    (tmp_path / "cpuset/cpuset.cpus").write_text("\n")
    assert "cpuset" not in {one.base.name for one in detect(text)}, "nobody could run there"
    (tmp_path / "cpuset/cpuset.cpus").write_text("0-3\n")
    assert "cpuset" in {one.base.name for one in detect(text)}


def test_lists_of_processors_are_read_as_the_kernel_writes_them() -> None:
    assert numbers("0-2,5,8-9\n") == [0, 1, 2, 5, 8, 9]
    assert numbers("0\n") == [0]
    assert numbers("\n") == []


def test_a_missing_controller_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="no cgroup controller for memory, pids; mount cgroup2"):
        detect(mountinfo(tmp_path, v2="cg", controllers="cpu io"))


def test_the_holder_unit_is_the_parent_where_it_runs(tmp_path: Path) -> None:
    text = mountinfo(tmp_path, v2="cg", controllers="cpu memory pids")
    holder = tmp_path / "cg/system.slice/paasd-holder.service"
    (holder / "holder").mkdir(parents=True)
    (holder / "cgroup.controllers").write_text("cpu memory pids")
    (holder / "holder/cgroup.procs").write_text("")
    (found,) = detect(text)
    assert found.base == holder
    assert CgroupDriver([found], "x").holder_files() == [str(holder / "holder/cgroup.procs")]
    other = tmp_path / "cg/mine.slice"
    other.mkdir()
    (other / "cgroup.controllers").write_text("cpu memory pids")
    assert detect(text, "/mine.slice")[0].base == other


@pytest.mark.root
def test_a_process_in_a_leaf_is_counted_killed_and_the_leaf_removed() -> None:
    driver = CgroupDriver(detect(read_mountinfo()), "t" + secrets.token_hex(2))
    driver.open()
    try:
        driver.create("a", SMALL)
        process = subprocess.Popen(["sleep", "1000"])
        born = driver.birthplace("a")
        for name in (*driver.entry_files("a"), *([f"{born}/cgroup.procs"] if born else [])):
            Path(name).write_text(str(process.pid))
        assert driver.pids("a") == {process.pid}
        assert driver.guids() == {"a"}
        assert driver.tally("a").pids == 1
        assert driver.tally("a").memory_bytes < SMALL.memory_bytes
        assert not driver.remove("a"), "something is inside"
        assert driver.freeze("a", True)
        assert driver.freeze("a", False)
        if not driver.kill_all("a"):
            process.kill()
        assert process.wait() == -9
        while not driver.remove("a"):
            os.sched_yield()
        assert driver.guids() == set()
        assert driver.oom_kills("a") == 0
    finally:
        driver.remove("a")
        driver.close()
    assert driver.directories() == []


@pytest.mark.root
def test_a_container_is_held_on_the_processors_that_it_is_given_and_takes_turns_of_that_length() -> None:
    driver = CgroupDriver(detect(read_mountinfo()), "t" + secrets.token_hex(2))
    driver.open()
    try:
        driver.create("a", SMALL)
        processors = driver.processors()
        if not processors:
            pytest.skip("this host has no cpuset controller")
        process = subprocess.Popen(["sleep", "1000"])
        born = driver.birthplace("a")
        for name in (*driver.entry_files("a"), *([f"{born}/cgroup.procs"] if born else [])):
            Path(name).write_text(str(process.pid))
        assert os.sched_getaffinity(process.pid) == set(processors), "at first it may run anywhere"
        driver.confine("a", processors[:1])
        assert os.sched_getaffinity(process.pid) == {processors[0]}
        with pytest.raises(OSError, match="Invalid argument"):
            os.sched_setaffinity(process.pid, {processors[-1]} if len(processors) > 1 else {4000})
        driver.confine("a", processors)
        assert os.sched_getaffinity(process.pid) == set(processors)
        driver.give_turns("a", 7_000_000)
        assert turn_ns(process.pid) in {7_000_000, 0}, "0: kernels before 6.12"
        process.kill()
        process.wait()
        while not driver.remove("a"):
            os.sched_yield()
    finally:
        driver.close()
    assert driver.directories() == []


@pytest.mark.root
def test_all_instances_together_weigh_as_much_as_a_process_on_each_processor() -> None:
    hierarchies = detect(read_mountinfo())
    cpu = next(one for one in hierarchies if "cpu" in one.controllers)
    knob, one_process = ("cpu.weight", 100) if cpu.v2 else ("cpu.shares", 1024)
    driver = CgroupDriver(hierarchies, prefix := "t" + secrets.token_hex(2))
    driver.open()
    try:
        (node,) = (path for path in driver.directories() if path.is_relative_to(cpu.base))
        assert prefix in node.name
        assert int((node / knob).read_text()) == one_process * (os.cpu_count() or 1)
    finally:
        driver.close()


def test_of_what_the_kernel_can_number_and_hold_a_quarter_is_kept_from_all_containers(tmp_path: Path) -> None:
    for pid_max, threads_max, most in ((32_768, 192_000, 24_576), (4_194_304, 60_000, 45_000)):
        (tmp_path / "pid_max").write_text(f"{pid_max}\n")
        (tmp_path / "threads-max").write_text(f"{threads_max}\n")
        assert most_processes(tmp_path) == most


@pytest.mark.root
def test_containers_together_leave_processes_to_the_host() -> None:
    hierarchies = detect(read_mountinfo())
    pids = next(one for one in hierarchies if "pids" in one.controllers)
    driver = CgroupDriver(hierarchies, "t" + secrets.token_hex(2))
    driver.open()
    try:
        (node,) = (path for path in driver.directories() if path.parent == pids.base)
        assert int((node / "pids.max").read_text()) == most_processes()
    finally:
        driver.close()


@pytest.mark.root
def test_limits_are_what_was_asked_for() -> None:
    hierarchies = detect(read_mountinfo())
    driver = CgroupDriver(hierarchies, "t" + secrets.token_hex(2))
    driver.open()
    try:
        driver.create("a", SMALL)
        texts = {
            path.name: path.read_text().strip() for d in driver.directories() for path in d.glob("*") if _limit(path)
        }
        assert str(128 * MIB) in {texts.get("memory.max"), texts.get("memory.limit_in_bytes")}
        assert texts["pids.max"] == "64"
    finally:
        driver.remove("a")
        driver.close()


def _limit(path: Path) -> bool:
    names = {"memory.max", "memory.limit_in_bytes", "pids.max"}
    return path.name in names and path.parent.name == "a"
