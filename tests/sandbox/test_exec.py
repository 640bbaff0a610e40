"""Programs that join a running container are held by the same bounds."""

import os
import signal

import pytest
import trio

from paasd.sandbox import NotRunning, Sandbox, SandboxError

from .place import output, shell, spec

pytestmark = pytest.mark.root


async def test_exec_gives_output_through_passed_descriptors_and_the_exit_code(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    await container.start(shell("sleep 1000"))
    reader, writer = os.pipe()
    null = os.open("/dev/null", os.O_RDONLY)
    handle = await container.exec(
        ["sh", "-c", "id -u; pwd; echo $WORD; exit 7"], {"WORD": "w"}, "/tmp", (null, writer, writer)
    )
    os.close(writer)
    os.close(null)
    assert await handle.wait() == 7
    with os.fdopen(reader) as file:
        assert file.read().split() == ["2000", "/tmp", "w"]


async def test_exec_is_in_the_same_namespaces_cgroup_and_filter_as_the_app(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    look = (
        "for n in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$n; done;"
        "grep -E 'Cap|Seccomp:|NoNew' /proc/self/status; ulimit -n"
    )
    await container.start(shell(f"{look}; echo done; sleep 1000"))
    with trio.fail_after(10):
        while "done" not in (app := output(container.spool)):
            await trio.sleep(0.01)
    before = container.usage().pids
    handle = await container.exec(["sh", "-c", look], {}, "/")
    assert await handle.wait() == 0
    assert output(container.spool).removeprefix(app) == app.removesuffix("done\n")
    sleeper = await container.exec(["sleep", "1000"], {}, "/")
    assert container.usage().pids == before + 1
    sleeper.close()


async def test_exec_ends_when_its_caller_goes_away(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    await container.start(shell("sleep 1000"))
    before = container.usage().pids
    handle = await container.exec(["sleep", "1000"], {}, "/")
    handle.close()
    with trio.fail_after(10):
        while container.usage().pids != before:
            await trio.sleep(0.01)


async def test_exec_takes_signals_and_ends_with_the_container(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    await container.start(shell("sleep 1000"))
    handle = await container.exec(["sleep", "1000"], {}, "/")
    await handle.signal(signal.SIGTERM)
    assert await handle.wait() == 128 + signal.SIGTERM
    handle = await container.exec(["sleep", "1000"], {}, "/")
    await container.kill()
    with trio.fail_after(10):
        assert await handle.wait() == 128 + signal.SIGKILL
    with pytest.raises(NotRunning):
        await container.exec(["true"], {}, "/")


async def test_a_program_that_is_not_there_is_named(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    await container.start(shell("sleep 1000"))
    with pytest.raises(SandboxError, match="no-such-program"):
        await container.exec(["no-such-program"], {}, "/")
    assert container.running
