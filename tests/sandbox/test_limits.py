"""Bounds hold: each attempt fails inside its own container, and a neighbour notices nothing."""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from paasd.processors import GIVEN
from paasd.sandbox import Limits, Sandbox
from paasd.sandbox.processes import launchers

from .place import MIB, SMALL, output, python, run, shell, spec, turn_ns

pytestmark = pytest.mark.root
KNOBS = (("", "weight"), ("*/", "weight"), ("cpu*/", "shares"))


async def test_a_fork_bomb_meets_its_limit_and_the_neighbour_does_not(sandbox: Sandbox) -> None:
    bomb = await sandbox.create(spec("bomb", limits=Limits(pids=20, disk_bytes=16 * MIB, inodes=500)))
    neighbour = await sandbox.create(spec("neighbour"))
    text = (
        "import os,time\nn=0\ntry:\n while True:\n  if os.fork()==0: time.sleep(100)\n  n+=1\n"
        "except BlockingIOError: print('EAGAIN', n)\n"
    )
    ended, said = await run(bomb, python(text))
    assert ended.code == 0
    word, count = said.split()
    assert word == "EAGAIN"
    assert int(count) == 18, "pid 1 and the first process count too"
    ended, said = await run(neighbour, shell("for i in 1 2 3 4 5; do /bin/echo $i; done | wc -l"))
    assert (ended.code, said.strip()) == (0, "5")


async def test_memory_ends_at_its_limit_and_just_below_it_works(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    ended, _text = await run(container, python(f"b = bytearray({90 * MIB}); print(len(b))"))
    assert ended.code == 0
    ended, _text = await run(container, python(f"b = bytearray({200 * MIB})"))
    assert ended.reason == "out of memory"


async def test_shared_memory_is_small(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    ended, text = await run(
        container,
        shell("head -c 1000000 /dev/zero > /dev/shm/a && echo fits; head -c 200000000 /dev/zero > /dev/shm/b"),
    )
    assert "fits" in text
    assert "No space left" in text
    assert ended.code == 1


async def test_the_disk_is_full_at_its_quota_in_bytes_and_in_files(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    ended, text = await run(
        container, shell("head -c 20000000 /dev/zero > /tmp/a && head -c 30000000 /dev/zero > /tmp/b")
    )
    assert ended.code == 1
    assert "No space left" in text
    text = (
        "import os\nos.remove('/tmp/b')\ntry:\n for n in range(2000): open(f'/tmp/{n}','w').close()\n"
        "except OSError as e: print(e.errno, n > 500)"
    )
    ended, said = await run(container, python(text))
    assert said.endswith("28 True\n")


async def test_processor_time_is_held_at_the_quota(sandbox: Sandbox) -> None:
    limits = Limits(cpu_cores=0.2, disk_bytes=16 * MIB, inodes=500)
    container = await sandbox.create(spec("one", limits=limits))
    await container.start(shell("echo up; while :; do :; done"))
    with trio.fail_after(10):
        while "up" not in output(container.spool):
            await trio.sleep(0.01)
    before, began = container.usage().cpu_ns, time.monotonic()
    await trio.sleep(1.0)
    cores = (container.usage().cpu_ns - before) / 1e9 / (time.monotonic() - began)
    assert 0.02 < cores < 0.3


async def test_descriptors_are_limited_and_limits_cannot_be_raised(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    text = (
        "import os,resource as r\nfs=[]\n"
        "try:\n while True: fs.append(os.open('/dev/null',0))\nexcept OSError as e: print(e.errno, len(fs))\n"
        "[os.close(f) for f in fs]\n"
        "for what in (r.RLIMIT_NOFILE, r.RLIMIT_CORE, r.RLIMIT_MEMLOCK):\n"
        " try: r.setrlimit(what,(r.getrlimit(what)[1]+1,)*2); print('raised')\n"
        " except (ValueError, PermissionError): print('refused')\n"
    )
    _ended, said = await run(container, python(text))
    assert said.split() == ["24", str(SMALL.open_files - 3), "refused", "refused", "refused"]


async def test_usage_counts_what_is_used(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    before = container.usage()
    text = (
        f"import time\nb=bytearray({50 * MIB})\nfor i in range(0,len(b),4096): b[i]=1\n"
        "open('/tmp/f','wb').write(b[:10<<20])\nprint('up',flush=True); time.sleep(100)"
    )
    await container.start(python(text))
    with trio.fail_after(10):
        while "up" not in output(container.spool):
            await trio.sleep(0.01)
    used = container.usage()
    assert before.pids == 0 < used.pids == 2
    assert 50 * MIB < used.memory_bytes < 90 * MIB
    assert used.disk_bytes - before.disk_bytes >= 10 * MIB
    assert used.cpu_ns > before.cpu_ns


async def test_who_takes_little_of_the_processor_counts_for_more_has_short_turns_and_a_place_of_its_own(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paasd.sandbox.treatment.PERIOD_S", 0.05)
    monkeypatch.setattr("paasd.sandbox.fairness._KEPT", 0.1)
    monkeypatch.setattr("paasd.sandbox.fairness._REMEMBERED", 0.1)
    light, heavy = await sandbox.create(spec("light")), await sandbox.create(spec("heavy"))
    await light.start(shell("sleep 100"))
    await heavy.start(shell("while :; do :; done"))
    with trio.fail_after(20):
        while (weights := (weight_of(sandbox, "light"), weight_of(sandbox, "heavy"))) != (16 * weights[1], weights[1]):
            await trio.sleep(0.05)
        # The three are not changed in one go.
        # 0: before Linux 6.12 all have one length.
        while {turn_ns(pid_in(sandbox, "light")), turn_ns(pid_in(sandbox, "heavy"))} not in (
            {100_000, 20_000_000},
            {0},
        ):
            await trio.sleep(0.05)
    free, crowded = (os.sched_getaffinity(pid_in(sandbox, guid)) for guid in ("light", "heavy"))
    everywhere = set(GIVEN)
    assert free | crowded == everywhere
    assert len(everywhere) == 1 or not free & crowded
    again: list[str] = []
    monkeypatch.setattr(sandbox._parts.cgroups, "give_turns", lambda guid, _turn_ns: again.append(guid))
    await trio.sleep(0.5)
    assert again == [], "nothing is done anew while nothing changes"


@pytest.fixture
def companion() -> Iterator[int]:
    """A process that does the platform's own work."""
    process = subprocess.Popen(["sleep", "100"])
    yield process.pid
    process.kill()
    process.wait()


async def test_the_platforms_own_work_keeps_out_of_the_way_and_what_it_starts_for_tenants_does_not(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, companion: int
) -> None:
    monkeypatch.setattr("paasd.sandbox.fairness._KEPT", 0.1)
    monkeypatch.setattr("paasd.sandbox.fairness._REMEMBERED", 0.1)
    everywhere = set(GIVEN)
    if len(everywhere) < 2 or not sandbox._parts.cgroups.processors():
        pytest.skip("there is nothing to choose")
    light, heavy = await sandbox.create(spec("light")), await sandbox.create(spec("heavy"))
    await light.start(shell("while sleep 0.05; do :; done"))
    await heavy.start(shell("while :; do :; done"))

    async def keeps(expected: Callable[[set[int]], bool]) -> None:
        with trio.fail_after(30):
            while not all(expected(os.sched_getaffinity(pid)) for pid in own()):
                await trio.sleep(0.05)

    def own() -> tuple[int, ...]:
        return (os.getpid(), companion, *launchers(sandbox.prefix))

    monkeypatch.setattr("paasd.sandbox.treatment.COMPANIONS", {companion})
    await keeps(lambda found: len(found) < len(everywhere))
    assert turn_ns(os.getpid()) in (100_000, 0)
    assert os.sched_getaffinity(0).isdisjoint(os.sched_getaffinity(pid_in(sandbox, "light")))
    late = await sandbox.create(spec("late"))
    await late.start(shell("while :; do :; done"))
    for container in (light, heavy):
        await sandbox.destroy(container.guid)
    await keeps(lambda found: found == everywhere)
    assert turn_ns(os.getpid()) in (10_000_000, 0)
    with trio.fail_after(10):
        while os.sched_getaffinity(pid_in(sandbox, "late")) != everywhere:
            await trio.sleep(0.05)


def pid_in(sandbox: Sandbox, guid: str) -> int:
    """The newest process of a container."""
    (tasks,) = Path("/sys/fs/cgroup").glob(f"pids/paasd-{sandbox.prefix}/{guid}/cgroup.procs")
    return max(int(word) for word in tasks.read_text().split())


def weight_of(sandbox: Sandbox, guid: str) -> int:
    leaf = f"paasd-{sandbox.prefix}/{guid}"
    (knob,) = (path for tree, name in KNOBS for path in Path("/sys/fs/cgroup").glob(f"{tree}{leaf}/cpu.{name}"))
    return int(knob.read_text())


async def test_turns_on_the_processor_are_long_until_it_is_known_how_much_is_taken(sandbox: Sandbox) -> None:
    if tuple(int(word) for word in re.findall(r"\d+", os.uname().release)[:2]) < (6, 12):
        pytest.skip("before Linux 6.12 all turns have one length")
    code = (
        "import ctypes, os, struct\nlibc = ctypes.CDLL(None)\nattr = ctypes.create_string_buffer(56)\n"
        "libc.syscall({'x86_64': 315, 'aarch64': 275}[os.uname().machine], 0, attr, 56, 0)\n"
        "print(struct.unpack('IIQiIQQQII', attr.raw)[5])\n"
    )
    _ended, said = await run(await sandbox.create(spec("one")), python(code))
    assert said.strip() == "20000000"
