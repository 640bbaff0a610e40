"""Attempts that are not on the list, against the kernel and the network."""

import subprocess
from pathlib import Path

import pytest

from paasd.sandbox import Bind, Container, ProcessSpec
from tests.sandbox.network.world import Outside

from .stage import Stage, on_host

pytestmark = pytest.mark.root


def sleeping(stage: Stage, container: Container) -> None:
    stage.run(container.start, ProcessSpec(argv=("/bin/sleep", "1000"), cwd="/"))


HOARD = """
import time
held = []
def hoard():
    while len(held) < most:
        held.append(make())
def once():
    os.close(make())
if most == 1:
    found["one"] = tried(once)
else:
    # Over several processes, for each has few descriptors.
    for _ in range(processes):
        pid = os.fork()
        if pid == 0:
            print("full", tried(hoard), len(held), flush=True)
            time.sleep(1000)
    time.sleep(1000)
"""


def hoarded(stage: Stage, container: Container, make: str, most: int, processes: int) -> list[tuple[str, int]]:
    """What each process of the hoarder got to hear, and how many it has."""
    stage.start(container, make + HOARD, most=most, processes=processes)
    said = stage.until(lambda: stage.said(container, "full"), lambda text: text.count("full ") == processes)
    lines = [line.split() for line in said.splitlines() if line.startswith("full ")]
    return [(answer, int(count)) for _word, answer, count in lines]


INOTIFY = """
def make():
    fd = libc.inotify_init1(0)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "inotify_init1")
    return fd
"""
QUEUE = """
number = 0
def make():
    global number
    number += 1
    name = f"/q{os.getpid()}-{number}".encode()
    fd = libc.mq_open(name, 0o102, 0o600, None)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "mq_open")
    # Lives on as long as it is open, and no longer: those of the host would be used up after ten runs.
    libc.mq_unlink(name)
    return fd
"""
TERMINAL = """
def make():
    return os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
"""


def test_55_what_the_kernel_counts_by_user_is_counted_for_each_tenant(stage: Stage) -> None:
    """Inotify instances and message queues are also charged to whoever made the user namespace."""
    for make in (INOTIFY, QUEUE):
        with stage.container() as hoarder:
            (got,) = hoarded(stage, hoarder, make, 240, 1)
            assert got[0] in ("EMFILE", "ENOMEM"), got
            assert stage.probe(make + HOARD, hoarder, most=1)["one"] == got[0], "its own are used up"
            assert stage.probe(make + HOARD, stage.neighbour, most=1) == {"one": "ok"}
            assert on_host(make + HOARD, most=1) == {"one": "ok"}


def test_56_terminals_of_the_host_are_not_used_up(stage: Stage) -> None:
    with stage.container() as hoarder:
        got = hoarded(stage, hoarder, TERMINAL, 100, 4)
        assert {answer for answer, _count in got} == {"ENOSPC"}
        assert 32 <= sum(count for _answer, count in got) <= 64
        assert stage.probe(TERMINAL + HOARD, stage.neighbour, most=1) == {"one": "ok"}


def test_57_ones_user_namespace_cannot_be_mapped_anew(stage: Stage) -> None:
    code = """
def remapped():
    if join and libc.unshare(0x10000000):
        return 99
    for name, text in (("setgroups", "deny"), ("uid_map", "0 0 1"), ("gid_map", "0 0 1"), ("projid_map", "0 0 1")):
        answer = tried(write, "/proc/self/" + name, text)
        if answer != "ok":
            return getattr(errno, answer)
    return 0
found["remapped"] = errno.errorcode.get(forked(remapped), "ok")
found["projects"] = tried(write, "/proc/self/projid_map", "0 0 1")
found["map"] = open("/proc/self/uid_map").read().split()
found["first"] = open("/proc/1/uid_map").read().split() if not join else found["map"]
"""
    inside = stage.probe(code, join=False)
    assert inside["remapped"] in ("EPERM", "EACCES")
    assert inside["projects"] in ("EPERM", "EACCES")
    assert inside["map"][0] == "0"
    assert int(inside["map"][1]) >= 1879048192, "root inside is nobody outside"
    assert on_host(code, join=True)["remapped"] == "ok"


def test_58_later_mounts_of_the_host_do_not_come_in(stage: Stage, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    (shown / "below").mkdir(parents=True)
    (shown / "below/file").write_text("as it was")
    with stage.container(binds=(Bind(source=shown, target="/opt/shown"),)) as container:
        sleeping(stage, container)
        look = """
found["file"] = tried(os.stat, "/opt/shown/below/file")
found["secret"] = tried(os.stat, "/opt/shown/below/secret")
found["tags"] = [line for line in open("/proc/self/mountinfo") if " shared:" in line or " master:" in line]
"""
        subprocess.run(["mount", "-t", "tmpfs", "later", shown / "below"], check=True)
        try:
            (shown / "below/secret").write_text("x")
            inside = stage.probe(look, container)
        finally:
            subprocess.run(["umount", shown / "below"], check=True)
        assert inside == {"file": "ok", "secret": "ENOENT", "tags": []}


def test_59_descriptors_are_not_handed_from_instance_to_instance(stage: Stage) -> None:
    listen = """
import array, time
listener = socket.socket(socket.AF_UNIX)
listener.bind("\\0meet")
listener.listen()
by_path = socket.socket(socket.AF_UNIX)
by_path.bind("/tmp/meet")
by_path.listen()
print("listening", flush=True)
secret = os.open("/tmp/meet-secret", os.O_RDWR | os.O_CREAT)
os.write(secret, b"handed over")
while True:
    peer, _ = listener.accept()
    socket.send_fds(peer, [b"x"], [secret])
"""
    take = """
def take(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        _, fds, _, _ = socket.recv_fds(sock, 1, 1)
        found["read"] = os.pread(fds[0], 100, 0).decode()
found["abstract"] = tried(take, "\\0meet")
found["path"] = tried(lambda: socket.socket(socket.AF_UNIX).connect("/tmp/meet"))
"""
    with stage.container() as container:
        stage.start(container, listen)
        stage.said(container, "listening")
        assert stage.probe(take, container) == {"read": "handed over", "abstract": "ok", "path": "ok"}
        assert stage.probe(take, stage.neighbour) == {"abstract": "ECONNREFUSED", "path": "ENOENT"}
        assert on_host(take) == {"abstract": "ECONNREFUSED", "path": "ENOENT"}


def test_60_names_do_not_lead_into_private_networks(stage: Stage) -> None:
    code = """
def look_up(name):
    try:
        return sorted({found[4][0] for found in socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)})
    except socket.gaierror:
        return []
for name in names:
    found[name] = look_up(name)
"""
    names = {
        "www.example.org": ["198.51.100.7", "198.51.100.8", "2606:2800::1"],
        "rebind.example.org": ["198.51.100.9"],
        "metadata.example.org": [],
        "mapped.example.org": [],
        "db.corp.example": [],
        "host.internal": [],
    }
    found = stage.probe(code, names=list(names))
    assert found == names, found
    asked = {name.rstrip(".") for name, _kind in stage.upstream.asked}
    assert "metadata.example.org" in asked, "the upstream has said it, and it was held back"


def test_61_ipv6_leads_nowhere(stage: Stage, outside: Outside) -> None:
    code = """
import struct
index = socket.if_nametoindex("eth0")
def reach(address, scope=0):
    with socket.socket(socket.AF_INET6) as sock:
        sock.settimeout(0.3)
        sock.connect((address, 1, 0, scope))
def send(address, scope=0):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", (address, 1, 0, scope))
for address in ("fe80::1", "ff02::1", "ff02::2", "2606:2800::1", "fd00::1", f"::ffff:{mapped}", "64:ff9b::a9fe:a9fe"):
    found["connect " + address] = tried(reach, address, index if address.startswith("f") else 0)
    found["send " + address] = "-" if "ffff" in address else tried(send, address, index if address[0] == "f" else 0)
found["own"] = tried(reach, "::1")
found["addresses"] = [line.split()[-1] for line in open("/proc/net/if_inet6")]
"""
    inside = stage.probe(code, mapped=stage.neighbour.address)
    assert inside.pop("addresses") == ["lo"]
    assert inside.pop("own") == "ECONNREFUSED"
    assert "ok" not in inside.values(), inside


def test_62_addresses_of_the_host_and_of_neighbours_cannot_be_taken(stage: Stage) -> None:
    code = """
for address in addresses:
    with socket.socket() as sock:
        found[address] = tried(sock.bind, (address, 5353))
"""
    own = stage.attacker.address
    addresses = [own, "169.254.1.1", stage.neighbour.address, stage.outside.host_side]
    inside = stage.probe(code, addresses=addresses)
    assert inside.pop(own) == "ok"
    assert set(inside.values()) == {"EADDRNOTAVAIL"}
    assert on_host(code, addresses=["169.254.1.1"]) == {"169.254.1.1": "ok"}


def test_63_the_layers_below_cannot_be_hidden_or_redirected(stage: Stage) -> None:
    code = """
import stat
os.makedirs("/home/vcap/app/folder", exist_ok=True)
for name in ("trusted.overlay.opaque", "trusted.overlay.redirect", "trusted.overlay.metacopy"):
    found[name] = tried(os.setxattr, "/home/vcap/app/folder", name, b"y")
found["whiteout"] = tried(os.mknod, "/etc/passwd-x", stat.S_IFCHR, 0)
found["whiteout of a file"] = tried(os.rename, "/home/vcap/app/folder", "/etc/passwd")
found["exchange"] = call("renameat2", -100, ctypes.c_char_p(b"/etc/passwd"), -100, ctypes.c_char_p(b"/tmp/passwd"), 4)
found["passwd"] = "vcap" in open("/etc/passwd").read()
found["own rename"] = tried(os.rename, "/home/vcap/app/folder", "/home/vcap/app/other")
found["back"] = tried(os.rename, "/home/vcap/app/other", "/home/vcap/app/folder")
"""
    inside = stage.probe(code)
    assert inside.pop("passwd") is True
    assert inside.pop("own rename") == inside.pop("back") == "ok"
    assert "ok" not in inside.values(), inside
