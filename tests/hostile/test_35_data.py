"""Attempts 35 to 41: read or change what belongs to others."""

import base64
import fcntl
import os
import pty
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paasd.logs import Line
from tests.node.harness import HELLO, SERVER

from .stage import SECRET, Stage, in_new_namespaces, last_object, on_host, program

pytestmark = pytest.mark.root


def test_35_files_of_the_platform_and_of_others_are_not_there(stage: Stage) -> None:
    data = stage.node.node.directory
    blobs = [str(path) for path in (data / "blobs").rglob("*") if path.is_file()]
    assert blobs
    theirs = data / "run/disks" / stage.neighbour.guid / "upper/home/vcap/app/secret"
    paths = [
        *blobs,
        str(theirs),
        *(str(data / name) for name in ("root-key", "admin-password", "state.db", "logs", "certificates", "disks")),
        str(stage.neighbour.spool),
        "/etc/paasd",
        "/var/lib/paasd",
        "/root/.ssh",
        "/usr/local/bin/python3",
    ]
    code = """
for path in paths:
    found[path] = tried(os.stat, path)
links = [os.path.join("/proc/self/cwd", *[".."] * 12) + path for path in paths]
found["climbing"] = sorted({tried(os.stat, link) for link in links})
found["own"] = tried(os.stat, "/home/vcap/app")
mounts = open("/proc/self/mountinfo").read() + open("/proc/self/mounts").read()
found["named"] = [name for name in names if name in mounts]
found["environ"] = SECRET in str(dict(os.environ))
"""
    names = [str(data), stage.neighbour.guid, stage.attacker.guid]
    inside = stage.probe(code, paths=paths, names=names, SECRET=SECRET)
    assert inside["own"] == "ok"
    assert inside["named"] == []
    assert inside["environ"] is False
    assert inside["climbing"] == ["ENOENT"] or set(inside["climbing"]) == {"ENOENT", "EACCES"}
    readable = {path for path in paths if inside[path] == "ok"}
    assert not readable
    outside = on_host(code, paths=paths, names=[], SECRET=SECRET)
    assert all(outside[path] == "ok" for path in (*blobs, str(theirs), str(data / "root-key")))
    assert theirs.read_text() == SECRET


PRINTER = r"""
import os, sys, threading, time
def chatter():
    out = sys.stdout.buffer
    out.write(b"\x1b[2J\x1b]0;title\x07 ansi \xff\xfe raw bytes\n")
    out.write(b"2026-01-01T00:00:00.00+0000 [RTR/0] OUT forged line\n")
    out.write(b'{"source_id":"00000000","tags":{"source_type":"RTR"},"log":{"payload":"x"}}\n')
    out.write(b"[API/0] OUT forged\r[STG/0] OUT forged again\n")
    out.write(b"start-" + b"l" * 300000 + b"-end\n")
    out.write(b"nul\0in the middle\n")
    out.flush()
    time.sleep(0.5)
    for number in range(80000):
        out.write(b"flood %d\n" % number)
    out.flush()
    # Told in between, as an app that has been quiet for a while.
    while True:
        out.write(b"still here\n")
        out.flush()
        time.sleep(1)
threading.Thread(target=chatter, daemon=True).start()
"""


async def oldest(stage: Stage, guid: str) -> list[dict[str, Any]]:
    """The first envelopes of an app, as the API gives them."""
    answer = await stage.node.api.get(f"/api/v1/read/{guid}", params={"limit": 1000})
    return list(answer.json()["envelopes"]["batch"])


def payloads(envelopes: list[dict[str, Any]]) -> list[bytes]:
    return [base64.b64decode(one["log"]["payload"]) for one in envelopes]


def says(text: bytes) -> Callable[[list[Line]], bool]:
    """Whether one of the lines has `text` in it."""
    return lambda lines: any(text in line.payload for line in lines)


def test_36_log_flood_and_forged_lines_change_nothing_but_ones_own_stream(stage: Stage) -> None:
    files = {**HELLO, "server.py": PRINTER + SERVER}
    manifest = "applications:\n- name: printer\n  log-rate-limit-per-second: 32K\n  memory: 96M\n"
    began = time.monotonic()
    result = stage.push("printer", files, manifest)
    assert result["type"] == "result", result
    guid = result["app"]["guid"]
    try:
        wanted = b"still here"
        stage.lines(guid, says(wanted), limit=10, descending=True, source_types=("APP",))
        lines = stage.run(oldest, stage, guid)
        own = [one for one in lines if one["tags"]["source_type"].startswith("APP")]
        said = payloads(own)
        assert any(b"forged line" in text for text in said)
        assert {one["source_id"] for one in lines} == {guid}
        forged = [one for one in lines if b"forged" in base64.b64decode(one["log"]["payload"])]
        assert {one["tags"]["source_type"] for one in forged} == {"APP/PROC/WEB"}
        assert max(len(text) for text in said) < 17 * 1024, "long lines are cut"
        kept = stage.lines(guid, limit=100_000, source_types=("APP",))
        took_s = time.monotonic() - began
        size = sum(len(line.payload) for line in kept)
        assert size < min(32 * 1024 * (2 + took_s), 1_000_000), (size, took_s)
        stage.lines(guid, says(b"exceeded log rate limit"), limit=100_000)
        canary = stage.run(stage.node.logs, "canary")
        assert canary
        assert not any(b"forged" in text or b"flood" in text for text in payloads(canary))
    finally:
        stage.delete("printer")


def test_37_the_stack_devices_and_kernel_files_cannot_be_written(stage: Stage) -> None:
    code = """
def make(path):
    open(path, "w").close()
def change(path):
    os.close(os.open(path, os.O_WRONLY | os.O_APPEND))
for path in ("/etc/passwd", "/etc/shadow", "/etc/hosts", "/etc/resolv.conf", "/etc/ld.so.cache", "/usr/bin/env",
             "/usr/bin/python3", "/bin/sh"):
    found["change " + path] = tried(change, path)
    found["remove " + path] = tried(os.remove, path)
for path in ("/x", "/etc/x", "/usr/x", "/usr/bin/x", "/usr/lib/x", "/dev/x", "/proc/x", "/root/x", "/var/x", "/opt/x",
             "/etc/ld.so.preload", "/etc/profile.d/x.sh"):
    found["make " + path] = tried(make, path)
found["rename"] = tried(os.rename, "/etc", "/tmp/etc")
found["home"] = tried(os.rename, "/home", "/home2")
found["link"] = tried(os.link, "/etc/shadow", "/tmp/shadow")
found["chmod"] = tried(os.chmod, "/etc/passwd", 0o777)
found["device"] = tried(os.remove, "/dev/null")
found["tmp"] = tried(make, "/tmp/x")
found["app"] = tried(make, "/home/vcap/app/x")
"""
    inside = stage.probe(code)
    assert inside.pop("tmp") == inside.pop("app") == "ok"
    assert set(inside.values()) <= {"EROFS", "EACCES", "EPERM", "ENOENT", "EXDEV", "EBUSY"}, inside
    assert inside["change /usr/bin/env"] in ("EROFS", "EACCES")


def test_38_a_change_of_a_shared_layer_stays_in_one_instance(stage: Stage) -> None:
    manifest = "applications:\n- name: pair\n  instances: 2\n  memory: 64M\n"
    result = stage.push("pair", {**HELLO, "shared.txt": "original\n"}, manifest)
    assert result["type"] == "result", result
    guid = result["app"]["guid"]
    try:
        containers = stage.until(
            lambda: [one for one in stage.containers(guid) if one.running],
            lambda found: len(found) == 2,
        )
        one, two = containers
        path = "/home/vcap/app/shared.txt"
        change = """
found["before"] = open(path).read()
found["write"] = tried(write, path, "poison!!")
with open(path, "r+b") as file:
    import mmap
    with mmap.mmap(file.fileno(), 0) as view:
        view[:6] = b"POISON"
found["after"] = open(path).read()
os.remove("/home/vcap/app/Procfile")
"""
        assert stage.probe(change, one, path=path) == {"before": "original\n", "write": "ok", "after": "POISON!!\n"}
        look = "found['text'] = open(path).read(); found['files'] = sorted(os.listdir('/home/vcap/app'))"
        seen = stage.probe(look, two, path=path)
        assert seen["text"] == "original\n"
        assert "Procfile" in seen["files"]
        # Nor does the image: an instance started later has the original too.
        assert one.spec.layers == two.spec.layers
    finally:
        stage.delete("pair")


def test_39_control_groups_and_sysfs_are_not_there(stage: Stage) -> None:
    code = """
found["sys"] = os.listdir("/sys")
found["cgroups"] = sorted({line.rstrip().split(":", 2)[2] for line in open("/proc/self/cgroup")})
kinds = ("cgroup", "cgroup2", "sysfs", "securityfs", "debugfs", "tracefs", "bpf")
found["mounted"] = [line for line in open("/proc/mounts") if line.split()[2] in kinds]
text = ctypes.c_char_p
for kind in (b"cgroup", b"cgroup2", b"sysfs", b"debugfs", b"tracefs", b"bpf"):
    os.makedirs("/tmp/mnt", exist_ok=True)
    found["mount " + kind.decode()] = call("mount", text(b"x"), text(b"/tmp/mnt"), text(kind), 0, 0)
for path in ("/sys/fs/cgroup/release_agent", "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory/release_agent",
             "/sys/kernel/uevent_helper", "/sys/kernel/debug", "/sys/fs/cgroup/pids/pids.max"):
    # Opened and not written: outside, where it works, the host stays as it is.
    found[path] = tried(lambda: os.close(os.open(path, os.O_WRONLY)))
"""
    inside = stage.probe(code)
    assert inside.pop("sys") == []
    assert inside.pop("mounted") == []
    # In a cgroup namespace of its own the tenant stands at the root, and learns no name of ours.
    assert inside.pop("cgroups") == ["/"]
    mounts = {inside.pop(name) for name in list(inside) if name.startswith("mount ")}
    assert mounts == {"EPERM"}
    assert set(inside.values()) == {"ENOENT"}
    outside = in_new_namespaces(code)
    assert outside["mount sysfs"] == "ok"
    assert outside["mounted"]


def test_40_nothing_is_typed_into_the_operators_terminal(stage: Stage) -> None:
    code = """
import fcntl, struct
fd = os.open("/dev/tty", os.O_RDWR) if tty else 0
found["is a terminal"] = os.isatty(0)
found["size"] = tried(fcntl.ioctl, fd, 0x5413, bytes(8))
found["type"] = tried(fcntl.ioctl, fd, 0x5412, b"x")
found["type wide"] = call("ioctl", fd, 0x100005412, ctypes.c_char_p(b"x"))
found["console"] = tried(fcntl.ioctl, fd, 0x541C, b"\\x02")
found["steal"] = tried(fcntl.ioctl, fd, 0x540E, 1)
found["console redirect"] = tried(fcntl.ioctl, fd, 0x541D)
"""
    master, slave = pty.openpty()
    try:

        async def joined() -> int:
            handle = await stage.attacker.exec(program(code, {"tty": False}), {}, "/", (slave, slave, slave))
            return await handle.wait()

        assert stage.run(joined) == 0
        os.set_blocking(master, False)
        inside = last_object(os.read(master, 65536).decode())
    finally:
        os.close(master)
        os.close(slave)
    assert inside["is a terminal"] is True
    assert inside["size"] == "ok"
    assert inside["type"] == inside["type wide"] == inside["console"] == "EPERM"
    assert inside["console redirect"] in ("EPERM", "EACCES")
    assert typed_on_the_host() in ("ok", "EIO"), "EIO is what a kernel says that allows it to nobody"


def typed_on_the_host() -> str:
    pid, master = pty.fork()
    if pid == 0:
        try:
            fcntl.ioctl(0, 0x5412, b"x")
            os._exit(0)
        except OSError as error:
            os._exit(error.errno or 1)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(master)
    return "ok" if status == 0 else {5: "EIO"}.get(status, str(status))


def test_41_crashes_leave_no_core_dump(stage: Stage) -> None:
    code = """
import resource, signal
os.makedirs(where, exist_ok=True)
os.chdir(where)
def crash():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
    held = bytearray(os.urandom(4 << 20))
    os.kill(os.getpid(), signal.SIGSEGV)
found["limit"] = resource.getrlimit(resource.RLIMIT_CORE)
signals = []
dumped = []
for _ in range(5):
    pid = os.fork()
    if pid == 0:
        crash()
    status = os.waitpid(pid, 0)[1]
    signals.append(os.WTERMSIG(status))
    dumped.append(os.WCOREDUMP(status))
found["signals"], found["dumped"], found["files"] = signals, any(dumped), os.listdir(where)
import shutil
shutil.rmtree(where)
"""
    inside = stage.probe(code, where="/tmp/crashes")
    assert inside == {"limit": [0, 0], "signals": [signal.SIGSEGV] * 5, "dumped": False, "files": []}
    if not Path("/proc/sys/kernel/core_pattern").read_text().startswith("|"):
        outside = on_host(code, where=f"/tmp/crashes-{os.getpid()}")
        assert outside["dumped"] is True, "where dumps are allowed, there are some"
