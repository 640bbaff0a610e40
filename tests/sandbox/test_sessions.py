"""Sessions of people: terminals and pipes, held by the same bounds, and nothing that outlives them."""

import errno
import os
import signal
import socket

import pytest
import trio

from paasd.sandbox import Container, NotRunning, Sandbox, SandboxError, Session, Terminal

from .place import output, shell, spec

pytestmark = pytest.mark.root

LIMIT_S = 10.0


async def read(fd: int) -> bytes:
    """All until the end; that of a terminal is an error."""

    def collect() -> bytes:
        found = b""
        while True:
            try:
                piece = os.read(fd, 65536)
            except OSError as error:
                assert error.errno == errno.EIO
                return found
            if not piece:
                return found
            found += piece

    with trio.fail_after(LIMIT_S):
        return await trio.to_thread.run_sync(collect, abandon_on_cancel=True)


async def running(sandbox: Sandbox, command: str = "sleep 1000") -> Container:
    container = await sandbox.create(spec("one"))
    await container.start(shell(command, env={"WORD": "app's"}))
    return container


async def pids(container: Container, count: int) -> None:
    with trio.fail_after(LIMIT_S):
        while container.usage().pids != count:
            await trio.sleep(0.01)


async def open_shell(container: Container, command: str, terminal: Terminal | None = None) -> Session:
    return await container.open_session(["sh", "-c", command], {"MORE": "ours"}, "/tmp", terminal)


async def test_a_session_on_pipes_reads_writes_and_tells_its_exit_code(sandbox: Sandbox) -> None:
    container = await running(sandbox)
    session = await open_shell(container, "echo $WORD $MORE; pwd; cat; echo wrong >&2; exit 7")
    to, one, two = session.ends
    os.write(to, b"from outside\n")
    session.ends = (one, two)
    os.close(to)
    assert await read(one) == b"app's ours\n/tmp\nfrom outside\n"
    assert await read(two) == b"wrong\n"
    assert await session.wait() == 7
    session.close()


async def test_a_session_on_a_terminal_has_a_name_a_size_and_job_control(sandbox: Sandbox) -> None:
    container = await running(sandbox)
    session = await open_shell(
        container,
        "tty; stty size; trap 'stty size; exit 3' WINCH; echo ready; while :; do sleep 0.05; done",
        Terminal(columns=91, rows=33),
    )
    said = b""
    while b"ready" not in said:
        said += await trio.to_thread.run_sync(os.read, session.ends[0], 1000)
    assert said.split() == [b"/dev/pts/0", b"33", b"91", b"ready"]
    session.resize(Terminal(columns=100, rows=50))
    assert (await read(session.ends[0])).split() == [b"50", b"100"]
    assert await session.wait() == 3
    session.close()


async def test_a_session_is_held_like_the_app(sandbox: Sandbox) -> None:
    look = (
        "for n in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$n; done; cat /proc/self/cgroup;"
        "grep -E 'Uid|Gid|Groups|Cap|Seccomp:|NoNew' /proc/self/status; ulimit -a; cat /proc/self/oom_score_adj;"
        "ls -1 /proc/self/fd"
    )
    container = await running(sandbox, f"{look}; echo done; sleep 1000")
    with trio.fail_after(LIMIT_S):
        while "done" not in (app := output(container.spool)):
            await trio.sleep(0.01)
    for terminal in (None, Terminal()):
        session = await open_shell(container, look, terminal)
        assert (await read(session.ends[-2 if terminal is None else 0])).decode().replace("\r", "") == app.removesuffix(
            "done\n"
        )
        assert await session.wait() == 0
        session.close()


async def test_what_a_session_started_ends_with_its_program(sandbox: Sandbox) -> None:
    container = await running(sandbox)
    before = container.usage().pids
    session = await open_shell(container, "setsid sleep 1000 & (setsid sleep 1000 &) ; sleep 0.2; exit 5")
    assert await session.wait() == 5
    await pids(container, before)
    session.close()


@pytest.mark.parametrize("terminal", [None, Terminal()], ids=["pipes", "terminal"])
async def test_what_a_session_started_ends_with_its_caller(sandbox: Sandbox, terminal: Terminal | None) -> None:
    container = await running(sandbox)
    before = container.usage().pids
    session = await open_shell(
        container, "trap '' HUP TERM; setsid sleep 1000 & (setsid sleep 1000 &) ; echo ready; sleep 1000", terminal
    )
    assert await trio.to_thread.run_sync(os.read, session.ends[-2 if terminal is None else 0], 5) == b"ready"
    # The keeper, the shell and three that sleep.
    await pids(container, before + 5)
    session.close()
    await pids(container, before)
    assert container.running


async def test_the_tenant_cannot_end_or_look_into_the_keeper(sandbox: Sandbox) -> None:
    container = await running(sandbox)
    session = await open_shell(
        container, "kill -9 $PPID; ls /proc/$PPID/fd; cat /proc/$PPID/environ; grep Cap /proc/$PPID/status"
    )
    assert {line.split()[1] for line in (await read(session.ends[1])).splitlines() if b"Bnd" not in line} == {
        b"0000000000000000",
        b"0000000000000020",
    }
    assert (await read(session.ends[2])).count(b"ermi") == 3  # Permission denied, Operation not permitted
    assert await session.wait() == 0
    session.close()


async def test_signals_reach_the_program_and_its_kind_of_end_is_told(sandbox: Sandbox) -> None:
    container = await running(sandbox)
    session = await open_shell(container, "echo ready; sleep 1000")
    assert await trio.to_thread.run_sync(os.read, session.ends[1], 5) == b"ready"
    await session.signal(signal.SIGTERM)
    with trio.fail_after(LIMIT_S):
        assert await session.wait() == -signal.SIGTERM
    session.close()


async def test_a_session_ends_with_its_container(sandbox: Sandbox) -> None:
    container = await running(sandbox)
    session = await open_shell(container, "sleep 1000")
    await container.kill()
    with pytest.raises(NotRunning), trio.fail_after(LIMIT_S):
        assert await session.wait() == -signal.SIGKILL
        raise NotRunning("told by its exit")
    session.close()
    with pytest.raises(NotRunning):
        await open_shell(container, "true")


async def test_what_cannot_be_run_is_named(sandbox: Sandbox) -> None:
    container = await running(sandbox)
    before = container.usage().pids
    with pytest.raises(SandboxError, match=r"cannot run /no/such: .*No such file"):
        await container.open_session(["/no/such"], {}, None, None)
    with pytest.raises(SandboxError, match=r"cannot run /no/such: .*No such file"):
        await container.open_session(["/no/such"], {}, None, Terminal())
    await pids(container, before)


async def test_a_connection_is_made_inside_and_under_its_rules(sandbox: Sandbox) -> None:
    serve = (
        "python3 -c \"import socket; s = socket.create_server(('127.0.0.1', 9)); print('ready', flush=True);"
        ' c = s.accept()[0]; c.sendall(c.recv(9)[::-1])"; sleep 1000'
    ).replace("9)", "9000)", 1)
    container = await running(sandbox, serve)
    with trio.fail_after(LIMIT_S):
        while "ready" not in output(container.spool):
            await trio.sleep(0.01)
    before = container.usage().pids
    with socket.socket(fileno=await container.connect("127.0.0.1", 9000)) as made:
        session = await open_shell(container, "awk '$3 ~ /:2328$/ { print $8 }' /proc/net/tcp")
        assert await read(session.ends[1]) == b"2000\n"  # whose it is
        session.close()
        made.sendall(b"abc")
        assert made.recv(9) == b"cba"
    for host in ("127.0.0.1", "169.254.169.254"):
        with pytest.raises(SandboxError, match=f"cannot connect to {host} port 9: "):
            await container.connect(host, 9)
    await pids(container, before - 1 if container.usage().pids < before else before)
