"""What must not run on without a lease ends when the shim's clock says so, whatever has become of the daemon."""

import os
import signal
import socket
import time

import pytest
import trio

from paasd.sandbox import Container, NotRunning, Sandbox, SandboxError
from paasd.sandbox.exits import read_exit
from paasd.sandbox.inventory import processes_of

from .place import Place, shell, spec

pytestmark = pytest.mark.root
FOREVER = "trap '' TERM; while :; do sleep 0.05; done"


def boot_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


async def ended_after(container: Container, began_s: float, timeout_s: float = 10) -> float:
    with trio.fail_after(timeout_s):
        assert (await container.wait()).reason == "lease ended"
    return boot_s() - began_s


async def test_a_run_ends_at_its_deadline(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    began = boot_s()
    await container.start(shell(FOREVER, deadline=began + 1.0))
    assert 1.0 <= await ended_after(container, began) < 3.0


async def test_nothing_begins_after_its_deadline_however_long_the_start_was_held_up(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    with pytest.raises(SandboxError, match="lease under which it was to run has ended"):
        await container.start(shell("echo ran", deadline=boot_s() - 0.001))
    assert not container.running
    assert b"ran" not in b"".join(path.read_bytes() for path in container.spool.glob("*") if path.is_file())
    # An exec in a run whose first deadline has been put off is held to the new one.
    await container.start(shell(FOREVER, deadline=boot_s() + 0.5))
    await container.set_deadline(boot_s() + 30)
    await trio.sleep(0.6)
    helper = await container.exec(["true"], {}, "/")
    assert await helper.wait() == 0


async def test_a_deadline_that_is_put_off_does_not_end_the_run_and_none_lifts_it(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    began = boot_s()
    await container.start(shell(FOREVER, deadline=began + 1.0))
    for _ in range(8):
        await container.set_deadline(boot_s() + 1.0)
        await trio.sleep(0.25)
    assert container.running
    await container.set_deadline(None)
    await trio.sleep(1.2)
    assert container.running
    began = boot_s()
    await container.set_deadline(began + 0.3)
    assert await ended_after(container, began) >= 0.3
    with pytest.raises(NotRunning):
        await container.set_deadline(None)


async def test_without_a_daemon_a_run_ends_all_the_same(place: Place) -> None:
    async with place.open(keep=True) as sandbox:
        leased, free = await sandbox.create(spec("leased")), await sandbox.create(spec("free"))
        await leased.start(shell(FOREVER, deadline=boot_s() + 1.0))
        await free.start(shell(FOREVER))
        directory = leased.run_directory
    with trio.fail_after(10):
        while (found := read_exit(directory)) is None:
            await trio.sleep(0.05)
    assert found.reason == "lease ended"
    async with place.open() as sandbox:
        assert not sandbox.containers["leased"].running
        assert sandbox.containers["free"].running


async def test_after_a_pause_the_end_comes_before_what_would_have_put_it_off(place: Place, sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    await container.start(shell(FOREVER, deadline=boot_s() + 0.5))
    [shim] = processes_of(place.prefix)["shim"]
    os.kill(shim, signal.SIGSTOP)
    await trio.sleep(0.8)
    await container.set_deadline(boot_s() + 60)
    began = boot_s()
    os.kill(shim, signal.SIGCONT)
    assert await ended_after(container, began) < 2


async def test_garbage_changes_no_deadline(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    began = boot_s()
    await container.start(shell(FOREVER, deadline=began + 0.8))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        directory = os.open(container.run_directory, os.O_PATH)
        for garbage in (b"", b"{", b"[]", b'{"deadline": "soon"}', b'{"deadline": 1e400}', b"\xff" * 1000):
            sender.sendto(garbage, f"/proc/self/fd/{directory}/deadline.sock")
        os.close(directory)
    assert await ended_after(container, began) < 3
