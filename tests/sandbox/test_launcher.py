"""What a program finds around itself in a container, and what real programs can do there."""

import os
import secrets
import socket
from pathlib import Path

import pytest
import trio

from paasd.errors import TooLarge, Unprocessable
from paasd.sandbox import Bind, Limits, ProcessSpec, Sandbox, SandboxError

from .place import MIB, output, python, run, shell, spec

pytestmark = pytest.mark.root
ROOMY = Limits(memory_bytes=512 * MIB, disk_bytes=64 * MIB, inodes=2000)


async def test_a_program_runs_and_its_output_and_exit_code_arrive(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    ended, text = await run(container, shell("echo out; echo err >&2; exit 42"))
    assert (ended.reason, ended.code, ended.signal) == ("exited", 42, None)
    assert sorted(text.split()) == ["err", "out"]


async def test_the_tenant_is_vcap_without_any_privilege(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    _ended, text = await run(container, shell("id; cat /proc/self/status; cat /proc/sys/user/max_user_namespaces"))
    lines = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    assert "uid=2000(vcap) gid=2000(vcap) groups=2000(vcap)" in text
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(lines[name], 16) == 0, name
    assert lines["NoNewPrivs"] == "1"
    assert lines["Seccomp"] == "2"
    assert text.splitlines()[-1] == "0"
    assert int(Path("/proc/sys/user/max_user_namespaces").read_text()) > 0, "the host's own value must stay"


async def test_it_sees_only_its_own_processes_mounts_and_name(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("abcdef01-2345"))
    _ended, text = await run(
        container,
        shell("hostname; ls /proc | grep -c '^[0-9]'; cat /proc/1/cmdline | tr -d '\\0'; cat /proc/self/mountinfo"),
    )
    name, processes, rest = text.split("\n", 2)
    assert name == "abcdef01" != socket.gethostname()
    assert int(processes) <= 5
    assert rest.startswith("init")
    assert str(sandbox.prefix) not in text
    assert "/tmp/pytest" not in text, "paths of the host are no business of a tenant"


async def test_every_namespace_is_its_own(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    names = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
    _ended, text = await run(container, shell(f"for n in {' '.join(names)}; do readlink /proc/self/ns/$n; done"))
    inside = text.split()
    assert len(inside) == len(names)
    assert not set(inside) & {str(Path(f"/proc/self/ns/{name}").readlink()) for name in names}


async def test_what_it_may_write_and_what_not(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    places = "/home/vcap/app /home/vcap/deps /home/vcap/tmp /tmp /dev/shm"
    denied = "/ /usr /etc /dev /proc/sys/kernel /home"
    script = f"for d in {places} {denied}; do (echo x > $d/f) 2>/dev/null && echo yes $d || echo no $d; done"
    _ended, text = await run(container, shell(script))
    assert text.split("\n")[:-1] == [f"yes {d}" for d in places.split()] + [f"no {d}" for d in denied.split()]


async def test_names_of_hosts_are_in_etc_hosts(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one", hosts={"db.internal": "10.1.2.3"}))
    _ended, text = await run(container, shell("getent hosts db.internal; cat /etc/hosts"))
    assert text.startswith("10.1.2.3")
    assert f"{container.address}\tone" in text


async def test_a_program_that_is_not_there_is_named(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    with pytest.raises(SandboxError, match=r"start: .*no-such-program"):
        await container.start(shell("", argv=("no-such-program",)))
    ended, _text = await run(container, shell("true"))
    assert ended.code == 0, "the container can still be used"


async def test_a_directory_that_is_not_there_is_named(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    with pytest.raises(SandboxError, match="/nowhere"):
        await container.start(shell("true", cwd="/nowhere"))


async def test_starting_twice_keeps_the_disk_and_the_spool(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    await run(container, shell("echo first; echo kept > /home/vcap/app/file"))
    _ended, text = await run(container, shell("cat /home/vcap/app/file"))
    assert text == "first\nkept\n"


async def test_a_running_container_is_not_started_again(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    await container.start(shell("sleep 100"))
    with pytest.raises(SandboxError, match="running already"):
        await container.start(shell("true"))


async def test_binds_show_files_and_directories_with_uids_as_inside(sandbox: Sandbox, tmp_path: Path) -> None:
    shared, file = tmp_path / "shared", tmp_path / "file"
    shared.mkdir()
    file.write_text("text\n")
    os.chown(shared, 2000, 2000)
    binds = (
        Bind(source=shared, target="/opt/shared", read_only=False),
        Bind(source=shared, target="/opt/read", read_only=True),
        Bind(source=file, target="/opt/file"),
    )
    container = await sandbox.create(spec("one", binds=binds))
    ended, text = await run(
        container, shell("cat /opt/file; echo new > /opt/shared/new && ! (echo x > /opt/read/x) 2>/dev/null")
    )
    assert (ended.code, text) == (0, "text\n")
    assert (shared / "new").stat().st_uid == 2000


async def test_a_link_left_by_the_tenant_does_not_lead_a_bind_outside(sandbox: Sandbox, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    source = tmp_path / "source"
    source.mkdir()
    binds = (Bind(source=source, target="/home/vcap/app/data"),)
    container = await sandbox.create(spec("one", binds=binds))
    inside = container._disk / "upper/home/vcap/app/data"
    inside.rmdir()
    inside.symlink_to(victim)
    with pytest.raises(SandboxError, match="root file system"):
        await container.start(shell("true"))


async def test_output_files_are_opened_without_following_anything(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    script = (
        "cd /home/vcap/staging; echo good > good; ln -s /etc/passwd link; mkfifo fifo; mkdir d; ln -s d e;"
        "echo x > d/x; head -c 2000 /dev/zero > large"
    )
    await run(container, shell(script))
    fd = container.open_output("home/vcap/staging/good", 1000)
    with os.fdopen(fd) as file:
        assert file.read() == "good\n"
    for bad in ("link", "fifo", "d", "e/x", "missing", "../../../../../../../etc/passwd"):
        with pytest.raises(Unprocessable):
            container.open_output(f"home/vcap/staging/{bad}", 1000)
    with pytest.raises(Unprocessable):
        container.open_output("/etc/passwd", 100000)
    with pytest.raises(TooLarge):
        container.open_output("home/vcap/staging/large", 1000)


_THREADS = """
import threading, subprocess
thread = threading.Thread(target=print, args=(1,))
thread.start(), thread.join()
print(subprocess.run(["/bin/echo", "2"], capture_output=True).stdout)
"""
_GIT = "git init -q r; cd r; git -c user.name=a -c user.email=b commit -q --allow-empty -m m; git rev-list --count HEAD"
_RESOLVE = "import socket; print(socket.getaddrinfo('localhost', 1)[0][4][0])"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (("/usr/bin/python3", "-c", _THREADS), "1\nb'2\\n'\n"),
        (("/usr/bin/python3", "-c", "import multiprocessing as m; q = m.Queue(); q.put(3); print(q.get())"), "3\n"),
        (("/usr/bin/python3", "-c", "import os, pty; print(len(pty.openpty()))"), "2\n"),
        (("/usr/bin/python3", "-c", _RESOLVE), "::1\n"),
        (("node", "-e", "require('child_process').execSync('true'); setTimeout(() => console.log(4), 1)"), "4\n"),
        (("npm", "--version"), None),
        (("bash", "-c", "echo $((2+3)) | cat"), "5\n"),
        (("bash", "-c", _GIT), "1\n"),
    ],
)
async def test_real_programs_run_under_the_filter(
    sandbox: Sandbox, argv: tuple[str, ...], expected: str | None
) -> None:
    container = await sandbox.create(spec("one", limits=ROOMY))
    ended, text = await run(container, ProcessSpec(argv=argv, cwd="/tmp", env={"HOME": "/home/vcap"}))
    assert ended.code == 0, text
    assert expected is None or text == expected


async def test_nginx_serves_from_inside_and_only_the_host_reaches_it(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    word = secrets.token_hex(4)
    config = (
        "daemon off; pid /tmp/pid; error_log /dev/stderr; events {} http { access_log off; "
        + "".join(f"{kind}_temp_path /tmp/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        + f"server {{ listen 8080; return 200 {word}; }} }}"
    )
    await container.start(shell(f"echo '{config}' > /tmp/c; exec /usr/sbin/nginx -e stderr -c /tmp/c"))
    with trio.fail_after(10):
        while True:
            try:
                stream = await trio.open_tcp_stream(container.address, 8080)
                break
            except OSError:
                assert container.running, output(container.spool)
                await trio.sleep(0.02)
        async with stream:
            await stream.send_all(b"GET / HTTP/1.0\r\n\r\n")
            answer = b"".join([chunk async for chunk in stream])
    assert answer.endswith(word.encode())
    container.signal(15)
    assert (await container.wait()).code == 0


async def test_descriptors_of_the_launcher_do_not_reach_the_tenant(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    _ended, text = await run(container, python("import os; print(sorted(os.listdir('/proc/self/fd'), key=int))"))
    assert text.startswith("['0', '1', '2', '3']"), "3 is that of the listing itself"


async def test_a_program_starts_again_where_all_was_killed(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("again"))
    for number in (3, 4):
        await container.start(shell("sleep 1000"))
        await container.kill()
        ended, _text = await run(container, shell(f"exit {number}"))
        assert (ended.reason, ended.code) == ("exited", number)
