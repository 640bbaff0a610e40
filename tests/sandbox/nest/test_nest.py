"""Plain processes behind the verbs of the sandbox: same exits, same output, and nothing that outlives its end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import psutil
import pytest
import trio

from paasd.errors import Unprocessable
from paasd.sandbox import Bind, ContainerSpec, NotRunning, ProcessSpec, SandboxError
from paasd.sandbox.nest import Layers, Nest, PlainContainer, Ports, open_nest

from ..place import lost_bytes, output

DEADLINE_S = 10.0


@pytest.fixture
async def nest(tmp_path: Path) -> AsyncIterator[Nest]:
    (tmp_path / "n1").mkdir()
    ports = Ports()
    async with open_nest(tmp_path / "n1", layers=Layers(tmp_path), ports=ports) as made:
        yield made
    ports.close()
    assert not (tmp_path / "n1" / "nest").exists()


def shell(text: str, **changes: object) -> ProcessSpec:
    return ProcessSpec(argv=("/bin/sh", "-c", text), cwd="/", **changes)  # type: ignore[arg-type]


async def run(container: PlainContainer, text: str) -> tuple[int | None, int | None, str, str]:
    await container.start(shell(text))
    ended = await container.wait()
    return ended.code, ended.signal, ended.reason, output(container.spool)


async def line(container: PlainContainer) -> str:
    """The first whole line that it prints."""
    with trio.fail_after(DEADLINE_S):
        while "\n" not in (text := output(container.spool)):
            await trio.sleep(0.01)
    return text.partition("\n")[0]


async def test_output_and_exit_code_arrive(nest: Nest) -> None:
    container = await nest.create(ContainerSpec(guid="one"))
    assert await run(container, "echo out; echo err >&2; exit 3") == (3, None, "exited", "out\nerr\n")
    assert container.usage().pids == 0
    assert not container.running


async def test_signals_reach_the_program_and_are_named(nest: Nest) -> None:
    container = await nest.create(ContainerSpec(guid="one"))
    await container.start(shell("trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.02; done"))
    assert await line(container) == "ready"
    container.signal(signal.SIGTERM)
    assert (await container.wait()).code == 5
    with pytest.raises(NotRunning):
        container.signal(signal.SIGTERM)
    assert (await run(container, "kill -SEGV $$"))[:3] == (None, signal.SIGSEGV, "signal")


async def test_all_that_a_program_started_ends_with_it(nest: Nest) -> None:
    container = await nest.create(ContainerSpec(guid="one"))
    detached = "setsid sh -c 'echo $$; exec sleep 1000' & wait_for=$!; sleep 0.2; exit 0"
    _code, _signal, _reason, text = await run(container, detached)
    assert not psutil.pid_exists(int(text))


async def test_kill_ends_daemons_that_left_their_parent(nest: Nest) -> None:
    container = await nest.create(ContainerSpec(guid="one"))
    await container.start(shell("(setsid sh -c 'echo $$; exec sleep 1000' &) ; exec sleep 1000"))
    daemon = int(await line(container))
    assert container.usage().pids == 2
    await container.kill()
    ended = await container.wait()
    assert (ended.signal, ended.reason) == (signal.SIGKILL, "killed")
    assert not psutil.pid_exists(daemon)


async def test_nothing_begins_after_its_deadline_and_an_exec_has_none(nest: Nest) -> None:
    container = await nest.create(ContainerSpec(guid="one"))
    past = time.clock_gettime(time.CLOCK_BOOTTIME) - 0.001
    with pytest.raises(SandboxError, match="lease under which it was to run has ended"):
        await container.start(shell("echo ran", deadline=past))
    assert not container.running


async def test_a_program_that_is_not_there_is_named_and_a_directory_too(nest: Nest) -> None:
    container = await nest.create(ContainerSpec(guid="one"))
    with pytest.raises(SandboxError, match="no-such-program"):
        await container.start(ProcessSpec(argv=("/no-such-program",), cwd="/"))
    with pytest.raises(SandboxError, match="no-such-folder"):
        await container.start(ProcessSpec(argv=("/bin/true",), cwd="/no-such-folder"))
    assert (await run(container, "exit 0"))[0] == 0


async def test_a_shim_that_is_killed_takes_its_program_along(nest: Nest) -> None:
    container = await nest.create(ContainerSpec(guid="one"))
    await container.start(shell("(setsid sh -c 'echo $$; exec sleep 1000' &) ; exec sleep 1000"))
    daemon = int(await line(container))
    shim = next(process for process in psutil.Process().children(recursive=True) if "paasd-shim" in _title(process))
    everything = [shim, *shim.children(recursive=True)]
    shim.kill()
    assert (await container.wait()).reason == "lost"
    assert daemon in [process.pid for process in everything]
    await _gone(everything)


async def test_exec_gives_output_through_passed_descriptors_and_the_exit_code(nest: Nest) -> None:
    container = await nest.create(ContainerSpec(guid="one"))
    with pytest.raises(NotRunning):
        await container.exec(("/bin/true",), {}, "/")
    await container.start(shell("exec sleep 1000"))
    reader, writer = os.pipe()
    null = os.open(os.devnull, os.O_RDWR)
    helper = await container.exec(("/bin/sh", "-c", "echo $A; exit 7"), {"A": "b"}, "/", (null, writer, null))
    os.close(writer)
    assert await helper.wait() == 7
    assert os.read(reader, 100) == b"b\n"
    for fd in (reader, null):
        os.close(fd)
    helper = await container.exec(("/bin/sh", "-c", "echo to the spool; kill -TERM $$"), {}, "/")
    assert await helper.wait() == 128 + signal.SIGTERM
    assert await line(container) == "to the spool"
    with pytest.raises(SandboxError, match="absent"):
        await container.exec(("absent",), {}, "/")


async def test_exec_ends_when_its_caller_goes_away_and_takes_signals(nest: Nest) -> None:
    container = await nest.create(ContainerSpec(guid="one"))
    await container.start(shell("exec sleep 1000"))
    helper = await container.exec(("/bin/sh", "-c", "echo $$; exec sleep 1000"), {}, "/")
    pid = int(await line(container))
    process = psutil.Process(pid)
    helper.close()
    await _gone([process])
    helper = await container.exec(("/bin/sleep", "1000"), {}, "/")
    await helper.signal(signal.SIGINT)
    assert await helper.wait() == 128 + signal.SIGINT
    assert container.running


async def test_output_beyond_the_spool_is_counted(nest: Nest) -> None:
    container = await nest.create(ContainerSpec(guid="one"))
    await container.start(shell("head -c 1000000 /dev/zero", spool_limit_bytes=100_000))
    await container.wait()
    assert len(output(container.spool)) + lost_bytes(container.spool) == 1_000_000
    assert lost_bytes(container.spool) > 800_000


async def test_binds_are_shown_and_output_is_opened_without_following_links(nest: Nest, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("x")
    binds = (Bind(source=tmp_path / "given", target="/opt/paasd/given"),)
    container = await nest.create(ContainerSpec(guid="one", binds=binds))
    text = f"cat {container.root}/opt/paasd/given; cd {container.root}; echo y > made; ln -s made link"
    assert await run(container, text) == (0, None, "exited", "x")
    fd = container.open_output("made", 100)
    assert os.read(fd, 10) == b"y\n"
    os.close(fd)
    with pytest.raises(Unprocessable, match="link"):
        container.open_output("link", 100)


async def test_a_destroyed_container_leaves_nothing_and_its_port_is_free_again(nest: Nest) -> None:
    container = await nest.create(ContainerSpec(guid="one"))
    await container.start(shell("echo $$; exec sleep 1000"))
    process = psutil.Process(int(await line(container)))
    await nest.destroy("one")
    assert not process.is_running()
    assert nest.containers == {}
    assert not container.directory.exists()
    with pytest.raises(SandboxError, match="destroyed"):
        await container.start(shell("exit 0"))
    await nest.destroy("one")


async def test_a_nest_that_was_killed_starts_nothing_any_more(nest: Nest) -> None:
    container = await nest.create(ContainerSpec(guid="one"))
    await container.start(shell("echo $$; exec sleep 1000"))
    process = psutil.Process(int(await line(container)))
    await nest.kill()
    assert not process.is_running()
    assert (await container.wait()).reason == "lost"
    other = await nest.create(ContainerSpec(guid="two"))
    with pytest.raises(SandboxError, match="gone"):
        await other.start(shell("exit 0"))


def test_no_port_is_given_twice_on_one_machine() -> None:
    one, two = Ports(Random(1)), Ports(Random(1))  # They would choose the same.
    taken = [ports.take() for ports in (one, two) for _ in range(50)]
    assert len(set(taken)) == 100
    one.close()
    two.close()


_OWNER = """
import sys, trio
from pathlib import Path
from random import Random
from paasd.sandbox import ContainerSpec, ProcessSpec
from paasd.sandbox.nest import Layers, Ports, open_nest
async def main(base):
    (base / "n1").mkdir(parents=True)
    async with open_nest(base / "n1", layers=Layers(base), ports=Ports(), doomed=[base]) as nest:
        container = await nest.create(ContainerSpec(guid="one"))
        text = "(setsid sh -c 'exec sleep 1000' &) ; exec sleep 1000"
        await container.start(ProcessSpec(argv=("/bin/sh", "-c", text), cwd="/"))
        print("ready", flush=True)
        await trio.sleep_forever()
trio.run(main, Path(sys.argv[1]))
"""


def test_when_the_owner_is_killed_nothing_survives_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _OWNER, str(tmp_path / "base")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "ready\n"
            deadline = time.monotonic() + DEADLINE_S
            # The keeper, the shim, the program, and what that started beside itself a moment later.
            while len(family := psutil.Process(owner.pid).children(recursive=True)) < 4:
                assert time.monotonic() < deadline, family
                time.sleep(0.01)
        finally:
            owner.kill()
    _gone_alive, alive = psutil.wait_procs(family, timeout=DEADLINE_S)
    assert alive == []
    deadline = time.monotonic() + DEADLINE_S
    while (tmp_path / "base").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert list(tmp_path.iterdir()) == []


async def _gone(processes: list[psutil.Process]) -> None:
    with trio.fail_after(DEADLINE_S):
        while any(map(_lives, processes)):
            await trio.sleep(0.01)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # of another test, ended and not waited for
        return ""
