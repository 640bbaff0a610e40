"""Attempts 1 to 9: take more of the machine than one's share."""

import time
from pathlib import Path

import pytest

from paasd.config import SandboxConfig
from paasd.sandbox import ContainerSpec, Limits, ProcessSpec, open_sandbox
from paasd.sandbox.cgroups import detect, read_mountinfo
from tests.sandbox.place import output

from .stage import MIB, SMALL, Stage, last_object, on_host, program

pytestmark = pytest.mark.root


def test_01_fork_bomb_meets_the_limit_of_its_own_container(stage: Stage) -> None:
    code = """
import time
children = []
try:
    while len(children) < 500:
        pid = os.fork()
        if pid == 0:
            time.sleep(20)
            os._exit(0)
        children.append(pid)
except OSError as error:
    found["error"] = errno.errorcode[error.errno]
found["children"] = len(children)
for pid in children:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
"""
    with stage.container() as bomb:
        ended, said = stage.attack(bomb, code)
        assert ended.code == 0, said
        # Pid 1 and the first process count.
        assert said.strip() == f'{{"error": "EAGAIN", "children": {SMALL.pids - 2}}}'
    assert on_host(code.replace("500", "80")) == {"children": 80}
    assert stage.probe("found['status'] = forked(lambda: 7)", stage.neighbour) == {"status": 7}


def test_02_memory_bomb_dies_alone_and_says_so(stage: Stage) -> None:
    code = """
held = []
for _ in range(megabytes):
    held.append(bytearray(os.urandom(1 << 20)))
found["got"] = megabytes
"""
    with stage.container() as bomb:
        ended, said = stage.attack(bomb, code, megabytes=60)
        assert (ended.code, said.strip()) == (0, '{"got": 60}')
        ended, _said = stage.attack(bomb, code, megabytes=200)
        assert ended.reason == "out of memory"
        assert ended.signal == 9
        assert bomb.oom_kills >= 1
    assert stage.neighbour.running
    assert stage.neighbour.oom_kills == 0


def test_03_shared_memory_ends_at_its_size_and_counts_as_memory(stage: Stage) -> None:
    code = """
block = b"x" * (1 << 20)
def fill(path, megabytes):
    with open(path, "wb", buffering=0) as file:
        for _ in range(megabytes):
            if file.write(block) != len(block):
                raise OSError(errno.ENOSPC, "short write")
found["a little"] = tried(fill, "/dev/shm/a", 4)
found["all"] = tried(fill, "/dev/shm/b", 100)
os.remove("/dev/shm/b")
found["devices"] = tried(fill, "/dev/b", 1)
found["files"] = tried(lambda: [open(f"/dev/shm/{n}", "w").close() for n in range(6000)])
"""
    with stage.container(limits=Limits(memory_bytes=256 * MIB, pids=64, disk_bytes=16 * MIB, inodes=500)) as filler:
        _ended, said = stage.attack(filler, code)
        assert '"a little": "ok", "all": "ENOSPC"' in said
        assert '"files": "ENOSPC"' in said
        assert '"devices": "ok"' not in said


def test_04_inode_flood_is_held_by_its_own_disk(stage: Stage) -> None:
    code = """
os.makedirs("/tmp/flood")
made = 0
try:
    while made < 10000:
        os.mkdir(f"/tmp/flood/{made}") if made % 2 else open(f"/tmp/flood/{made}", "w").close()
        made += 1
except OSError as error:
    found["error"] = errno.errorcode[error.errno]
found["many"] = made > 1000
import shutil
shutil.rmtree("/tmp/flood")
found["after"] = tried(lambda: open("/tmp/again", "w").close())
"""
    assert stage.probe(code) == {"error": "ENOSPC", "many": True, "after": "ok"}
    assert stage.probe("found['own'] = tried(lambda: open('/tmp/x', 'w').close())", stage.neighbour) == {"own": "ok"}


def test_05_disk_fill_is_held_by_its_own_disk_also_with_sparse_and_deleted_files(stage: Stage) -> None:
    code = """
block = b"x" * (1 << 20)
def fill(file, megabytes):
    for _ in range(megabytes):
        if os.write(file, block) != len(block):
            raise OSError(errno.ENOSPC, "short")
fd = os.open("/tmp/fits", os.O_CREAT | os.O_WRONLY)
found["fits"] = tried(fill, fd, 8)
os.close(fd)
os.remove("/tmp/fits")
fd = os.open("/tmp/hidden", os.O_CREAT | os.O_WRONLY)
os.remove("/tmp/hidden")
found["deleted but open"] = tried(fill, fd, 100)
os.close(fd)
fd = os.open("/tmp/reserved", os.O_CREAT | os.O_WRONLY)
found["reserved"] = tried(os.posix_fallocate, fd, 0, 500 << 20)
os.close(fd)
fd = os.open("/tmp/reserved", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
os.ftruncate(fd, 4 << 30)
found["sparse"] = os.fstat(fd).st_blocks
os.close(fd)
os.remove("/tmp/reserved")
"""
    assert stage.probe(code) == {"fits": "ok", "deleted but open": "ENOSPC", "reserved": "ENOSPC", "sparse": 0}
    assert stage.attacker.usage().disk_bytes < SMALL.disk_bytes


def test_06_processor_burn_is_held_at_the_quota(stage: Stage) -> None:
    burn = """
import time
for _ in range(4):
    if os.fork() == 0:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            pass
        os._exit(0)
print("up", flush=True)
time.sleep(30)
"""
    with stage.container(limits=Limits(cpu_cores=0.3, pids=64, disk_bytes=16 * MIB, inodes=500)) as burner:
        stage.start(burner, burn)
        stage.said(burner, "up")
        before, began = burner.usage().cpu_ns, time.monotonic()
        time.sleep(1.5)
        cores = (burner.usage().cpu_ns - before) / 1e9 / (time.monotonic() - began)
        assert 0.05 < cores < 0.45
    with stage.container(limits=Limits(cpu_cores=None, pids=64, disk_bytes=16 * MIB, inodes=500)) as free:
        stage.start(free, burn)
        stage.said(free, "up")
        stage.until(lambda: free.usage().cpu_ns, lambda used: used > 0.5e9)


def test_07_descriptors_end_at_the_limit_also_over_many_processes(stage: Stage) -> None:
    code = """
def exhaust():
    held = []
    try:
        while len(held) < 3000:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        return errno.errorcode[error.errno], len(held)
    finally:
        for fd in held:
            os.close(fd)
    return "ok", len(held)
found["own"] = exhaust()
found["child"] = forked(lambda: 0 if exhaust()[0] == "EMFILE" else 1)
import resource
found["raised"] = tried(resource.setrlimit, resource.RLIMIT_NOFILE, (4096, 4096))
"""
    inside = stage.probe(code)
    assert inside == {"own": ["EMFILE", SMALL.open_files - 3], "child": 0, "raised": "ValueError"}
    assert on_host(code, "prlimit", "--nofile=4000:4096")["own"] == ["ok", 3000]


def test_08_priorities_and_limits_are_not_raised(stage: Stage) -> None:
    code = """
import resource
param = ctypes.create_string_buffer((1).to_bytes(4, "little"))
page = ctypes.create_string_buffer(1 << 20)
above = resource.getrlimit(resource.RLIMIT_NOFILE)[1] + 1
found["nofile"] = tried(resource.setrlimit, resource.RLIMIT_NOFILE, (above, above))
found["core"] = tried(resource.setrlimit, resource.RLIMIT_CORE, (1, 1))
found["nice"] = tried(os.nice, -5)
found["nicer"] = tried(os.nice, 1)
found["fifo"] = call("sched_setscheduler", 0, 1, param)
found["round robin"] = call("sched_setscheduler", 0, 2, param)
found["ioprio"] = call("ioprio_set", 1, 0, (1 << 13) | 4)
found["ioprio of its own class"] = call("ioprio_set", 1, 0, (2 << 13) | 4)
found["mlock"] = call("mlock", page, 1 << 20)
found["a little mlock"] = call("mlock", page, 4096)
found["mlockall"] = call("mlockall", 3)
found["priority of others"] = tried(os.setpriority, os.PRIO_PGRP, 0, -10)
"""
    inside = stage.probe(code)
    allowed = {"nicer", "ioprio of its own class", "a little mlock"}
    refused = {"EPERM", "EACCES", "ValueError", "ENOMEM"}
    assert {name for name, answer in inside.items() if answer == "ok"} == allowed, inside
    assert {answer for name, answer in inside.items() if name not in allowed} <= refused, inside
    outside = on_host(code)
    assert outside["nice"] == outside["fifo"] == "ok", outside


def test_09_buffered_write_flood_is_held_where_the_kernel_can(stage: Stage, tmp_path: Path) -> None:
    if not any("io" in one.controllers for one in detect(read_mountinfo()) if one.v2):
        pytest.skip("cgroup v1 throttles direct writes only, what goes through the page cache is nobody's (see README)")
    held = flooded_s(stage, tmp_path / "held", SandboxConfig(disk_write_bytes_per_s=4 * MIB))
    free = flooded_s(stage, tmp_path / "free", SandboxConfig())
    assert held > 3 > free


def flooded_s(stage: Stage, data: Path, config: SandboxConfig) -> float:
    """Seconds in which a container of a small node of its own gets 20 MiB onto its disk."""
    code = """
import time
block, began = b"x" * (1 << 20), time.monotonic()
with open("/tmp/flood", "wb") as file:
    for _ in range(20):
        file.write(block)
    file.flush()
    os.fsync(file.fileno())
found["took"] = time.monotonic() - began
"""

    async def flood() -> str:
        async with open_sandbox(config, data, keep=False) as sandbox:
            container = await sandbox.create(ContainerSpec(guid="flood", limits=SMALL))
            await container.start(ProcessSpec(argv=program(code, {}), cwd="/"))
            await container.wait()
            return output(container.spool)

    return float(last_object(stage.run(flood))["took"])
