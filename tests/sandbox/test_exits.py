"""Why a run ended: the reason is exact."""

import os
import signal
from pathlib import Path

import pytest
import trio

from paasd.sandbox import Container, NotRunning, Sandbox
from paasd.sandbox.exits import name_reason, read_exit
from paasd.sandbox.inventory import processes_of

from .place import output, run, shell, spec

EXITED_3, KILLED, SEGV, EXITED_137 = 3 << 8, 9, 11, 137 << 8


@pytest.mark.parametrize(
    ("status", "oom", "killed_at", "expected"),
    [
        (EXITED_3, 0, None, (3, None, "exited")),
        (0, 0, None, (0, None, "exited")),
        (SEGV, 0, None, (None, 11, "signal")),
        (KILLED, 0, None, (None, 9, "signal")),
        (KILLED, 1, None, (None, 9, "out of memory")),
        (None, 1, None, (None, 9, "out of memory")),
        (None, 0, None, (None, 9, "signal")),
        (None, 0, 0, (None, 9, "killed")),
        (KILLED, 0, 0, (None, 9, "killed")),
        (EXITED_137, 1, None, (None, 9, "out of memory")),
        (EXITED_137, 0, None, (137, None, "exited")),
        # A worker was killed for memory and the app lived on: that explains neither a clean exit nor a later kill.
        (EXITED_3, 1, None, (3, None, "exited")),
        (None, 1, 1, (None, 9, "killed")),
        (None, 2, 1, (None, 9, "out of memory")),
        # Killed on request, but it had time to end by itself.
        (EXITED_3, 0, 0, (3, None, "exited")),
    ],
)
def test_reason_follows_from_status_and_counters(
    status: int | None, oom: int, killed_at: int | None, expected: tuple[int | None, int | None, str]
) -> None:
    ended = name_reason(status, oom, oom, 1.0, killed_at_oom=killed_at)
    assert (ended.code, ended.signal, ended.reason) == expected


GARBAGE = [
    b"",
    b'{"status": 0, "oom_k',
    b"[]",
    b'{"status": "\xff"}',
    b'{"status": 0}',
    b'{"status": 1099511627776, "oom_kills": 0, "oom_total": 0, "at": 1.0}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_an_exit_that_cannot_be_read_is_none(tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / "exit").write_bytes(b'{"status": 768, "oom_kills": 0, "oom_total": 0, "at": 1.0}')
    found = read_exit(tmp_path)
    assert found is not None
    assert found.code == 3
    (tmp_path / "exit").write_bytes(garbage)
    assert read_exit(tmp_path) is None


@pytest.mark.root
@pytest.mark.parametrize("garbage", GARBAGE[:2])
async def test_a_run_whose_exit_is_torn_is_lost_and_the_next_one_is_told(sandbox: Sandbox, garbage: bytes) -> None:
    container = await sandbox.create(spec("one"))
    await container.start(shell("sleep 1000"))
    (container.run_directory / "exit").write_bytes(garbage)
    (shim,) = processes_of(sandbox.prefix)["shim"]
    os.kill(shim, signal.SIGKILL)
    with trio.fail_after(10):
        ended = await container.wait()
    assert ended.reason == "lost"
    ended, _text = await run(container, shell("exit 1"))
    assert ended.code == 1


@pytest.mark.root
async def test_who_waits_hears_of_an_end_that_could_not_be_looked_at(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(_guid: str) -> None:
        raise RuntimeError("can't start new thread")

    container = await sandbox.create(spec("one"))
    await container.start(shell("sleep 1000"))
    (shim,) = processes_of(sandbox.prefix)["shim"]
    with monkeypatch.context() as patch:
        patch.setattr(type(sandbox._parts), "kill_remains", lambda _parts, guid: no_thread(guid))
        os.kill(shim, signal.SIGKILL)
        with trio.fail_after(10):
            assert (await container.wait()).reason == "lost"
    ended, _text = await run(container, shell("exit 1"))
    assert ended.code == 1


@pytest.mark.root
async def test_a_signal_is_named(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    ended, _text = await run(container, shell("kill -SEGV $$"))
    assert (ended.code, ended.signal, ended.reason) == (None, signal.SIGSEGV, "signal")


@pytest.mark.root
async def test_memory_is_named_and_counted(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    ended, _text = await run(container, shell("exec /usr/bin/python3 -c 'bytearray(1 << 30)'"))
    assert ended.reason == "out of memory"
    assert container.oom_kills >= 1
    ended, _text = await run(container, shell("kill -9 $$"))
    assert ended.reason == "signal", "an earlier run's end must not explain this one"


@pytest.mark.root
async def test_term_reaches_the_app_and_an_app_that_ignores_it_is_killed(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    await container.start(shell("trap 'echo got it' TERM; echo ready; while :; do sleep 0.05; done"))
    with trio.fail_after(10):
        while "ready" not in (seen := _text(container)):
            await trio.sleep(0.01)
        container.signal(signal.SIGTERM)
        while "got it" not in (seen := _text(container)):
            await trio.sleep(0.01)
        assert container.running, seen
        await container.kill()
    ended = await container.wait()
    assert (ended.reason, ended.signal) == ("killed", 9)
    with pytest.raises(NotRunning):
        container.signal(signal.SIGTERM)


@pytest.mark.root
async def test_daemons_that_left_their_parent_end_with_the_container(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    daemonize = "import os,time\nif os.fork()==0:\n os.setsid()\n if os.fork()==0:\n  time.sleep(1000)\n os._exit(0)\n"
    await container.start(
        shell(f"/usr/bin/python3 -c '{daemonize}'; /usr/bin/python3 -c '{daemonize}'; echo up; sleep 100")
    )
    with trio.fail_after(10):
        while "up" not in _text(container):
            await trio.sleep(0.01)
    inside = sandbox._parts.cgroups.pids("one")
    assert len(inside) >= 5, "pid 1, the shell, sleep and two daemons"
    await container.kill()
    assert sandbox._parts.cgroups.pids("one") == set()
    assert not any(os.path.exists(f"/proc/{pid}") for pid in inside)  # noqa: PTH110


@pytest.mark.root
async def test_when_the_app_ends_so_does_all_that_it_left(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    ended, _text = await run(container, shell("(sleep 1000 &) ; (sleep 1000 &); exit 4"))
    assert ended.code == 4
    assert sandbox._parts.cgroups.pids("one") == set()


@pytest.mark.root
async def test_a_lost_shim_takes_its_container_along(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    await container.start(shell("sleep 1000"))
    (shim,) = processes_of(sandbox.prefix)["shim"]
    os.kill(shim, signal.SIGKILL)
    with trio.fail_after(10):
        ended = await container.wait()
    assert (ended.reason, ended.code, ended.signal) == ("lost", None, None)
    assert sandbox._parts.cgroups.pids("one") == set()
    ended, _text = await run(container, shell("exit 1"))
    assert ended.code == 1


def _text(container: Container) -> str:
    return output(container.spool)
