"""Attempts 10 to 17: leave the container through the kernel, or gain rights in it."""

import os
import secrets

import pytest

from .stage import Stage, in_new_namespaces, on_host

pytestmark = pytest.mark.root


def test_10_mounts_cannot_be_made_moved_or_taken_away(stage: Stage) -> None:
    code = """
text = ctypes.c_char_p
os.makedirs("/tmp/m/old", exist_ok=True)
found["mount"] = call("mount", text(b"t"), text(b"/tmp/m"), text(b"tmpfs"), 0, 0)
found["bind"] = call("mount", text(b"/proc"), text(b"/tmp/m"), 0, 4096, 0)
found["remount"] = call("mount", 0, text(b"/"), 0, 32 | 4096, 0)
found["propagation"] = call("mount", 0, text(b"/"), 0, 1 << 20, 0)
found["umount"] = call("umount2", text(b"/proc"), 2)
found["pivot_root"] = call("pivot_root", text(b"/tmp/m"), text(b"/tmp/m/old"))
found["fsopen"] = call("fsopen", text(b"tmpfs"), 0)
found["open_tree"] = call("open_tree", -100, text(b"/tmp"), 1)
found["move_mount"] = call("move_mount", -100, text(b"/proc"), -100, text(b"/tmp/m"), 0)
found["mount_setattr"] = call("mount_setattr", -100, text(b"/"), 0, ctypes.create_string_buffer(32), 32)
"""
    assert set(stage.probe(code).values()) == {"EPERM"}
    outside = in_new_namespaces(code)
    refused = {name for name, answer in outside.items() if answer == "EPERM"}
    assert not refused, f"as root the probe must get further than to a refusal: {outside}"
    assert outside["mount"] == outside["bind"] == outside["fsopen"] == outside["open_tree"] == "ok"


def test_11_namespaces_cannot_be_made(stage: Stage) -> None:
    code = """
flags = {"mnt": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000,
         "pid": 0x20000000, "net": 0x40000000, "time": 0x80}
def cloned(flag):
    # A child that the kernel makes after all must not run on in here.
    pid = libc.syscall(ctypes.c_long(NUMBERS["clone"]), ctypes.c_long(flag | 17), *[ctypes.c_long(0)] * 4)
    if pid == 0:
        os._exit(0)
    if pid < 0:
        return errno.errorcode[ctypes.get_errno()]
    os.waitpid(pid, 0)
    return "ok"
for name, flag in flags.items():
    status = os.fork()
    if status == 0:
        answer = call("unshare", flag)
        os._exit(0 if answer == "ok" else getattr(errno, answer))
    code = os.waitstatus_to_exitcode(os.waitpid(status, 0)[1])
    found["unshare " + name] = errno.errorcode[code] if code else "ok"
    if name != "time":  # the bit is part of the signal number there
        found["clone " + name] = cloned(flag)
found["plain clone"] = cloned(0)
found["clone3"] = call("clone3", ctypes.create_string_buffer(88), 88)
"""
    inside = stage.probe(code)
    assert inside.pop("plain clone") == "ok"
    assert inside.pop("clone3") == "ENOSYS"
    assert set(inside.values()) == {"EPERM"}, inside
    outside = on_host(code)
    assert all(outside[f"{how} {kind}"] == "ok" for how in ("unshare", "clone") for kind in ("mnt", "uts", "net"))


def test_12_a_nested_user_namespace_meets_a_second_lock(stage: Stage) -> None:
    """Without the filter: a process of the operator's, in the container's user namespace, as the tenant's user."""
    code = """
import sys
nr = "unshare"
fd = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
own = os.open("/proc/self/ns/user", os.O_RDONLY)
def inside(join):
    if join:
        if libc.setns(fd, 0x10000000):
            return 98
        os.setresgid(2000, 2000, 2000)
        os.setresuid(2000, 2000, 2000)
    answer = call(nr, 0x10000000)
    return 0 if answer == "ok" else getattr(errno, answer)
found["joined"] = errno.errorcode.get(forked(lambda: inside(True)), "ok")
found["not joined"] = errno.errorcode.get(forked(lambda: inside(False)), "ok")
"""
    assert on_host(code, pid=host_pid(stage)) == {"joined": "ENOSPC", "not joined": "ok"}
    path = "/proc/sys/user/max_user_namespaces"
    assert stage.probe("found['limit'] = int(read('/proc/sys/user/max_user_namespaces'))") == {"limit": 0}
    assert stage.probe(f"found['write'] = tried(write, {path!r}, '10')")["write"] in ("EROFS", "EACCES")


def host_pid(stage: Stage) -> int:
    """The attacker's first process, as the host counts."""
    directory = stage.node.node.directory / "sandbox/containers" / stage.attacker.guid
    facts = next(directory.glob("run-*/shim.json")).read_text()
    return int(facts.partition('"pid1": ')[2].partition(",")[0])


def test_13_other_namespaces_cannot_be_joined(stage: Stage) -> None:
    code = """
for kind in ("mnt", "net", "pid", "user", "ipc", "uts", "cgroup"):
    found["open " + kind] = tried(lambda: os.close(os.open(f"/proc/1/ns/{kind}", os.O_RDONLY)))
own = os.open("/proc/self/ns/net", os.O_RDONLY)
found["setns"] = call("setns", own, 0)
found["setns of a pidfd"] = call("setns", os.pidfd_open(os.getpid()), 0x40000000)
"""
    inside = stage.probe(code)
    assert inside.pop("setns") == inside.pop("setns of a pidfd") == "EPERM"
    assert set(inside.values()) == {"EACCES"}, inside
    outside = in_new_namespaces(code)
    assert set(outside.values()) == {"ok"}, outside


def test_14_identity_and_capabilities_cannot_be_regained(stage: Stage) -> None:
    code = """
text = ctypes.c_char_p
header = ctypes.create_string_buffer((0x20080522).to_bytes(4, "little") + bytes(4), 8)
everything = ctypes.create_string_buffer(b"\\xff" * 24, 24)
nothing = ctypes.create_string_buffer(24)
found["keep caps"] = [line for line in open("/proc/self/status") if line.startswith("Cap")]
found["setuid"] = call("setuid", 0)
found["setresuid"] = call("setresuid", 0, 0, 0)
found["setgid"] = call("setgid", 0)
found["setgroups"] = call("setgroups", 1, ctypes.create_string_buffer(4))
found["chown"] = tried(os.chown, "/tmp", 0, 0)
found["capset"] = call("capset", header, everything)
found["ambient"] = call("prctl", 47, 2, 21, 0, 0)
found["no_new_privs off"] = call("prctl", 38, 0, 0, 0, 0)
found["chroot"] = call("chroot", text(b"/tmp"))
found["capset to nothing"] = call("capset", header, nothing)
found["own uid"] = call("setuid", os.getuid())
"""
    inside = stage.probe(code)
    assert inside.pop("capset to nothing") == inside.pop("own uid") == "ok"
    assert all(line.split()[1].strip("0") == "" for line in inside.pop("keep caps"))
    assert inside.pop("no_new_privs off") == "EINVAL"
    assert set(inside.values()) == {"EPERM"}, inside
    outside = in_new_namespaces(code)
    assert outside["chroot"] == outside["setuid"] == outside["setgid"] == "ok"


def test_15_devices_cannot_be_made_or_opened(stage: Stage) -> None:
    code = """
import stat
for name, kind, number in (("block", stat.S_IFBLK, os.makedev(7, 0)), ("char", stat.S_IFCHR, os.makedev(1, 3))):
    found["mknod " + name] = tried(os.mknod, f"{where}/{name}", kind | 0o666, number)
found["mknod fifo"] = tried(os.mknod, f"{where}/fifo", stat.S_IFIFO | 0o600)
tried(os.remove, f"{where}/fifo")
for name in ("mem", "kmsg", "kvm", "port", "sda", "vda", "loop0", "loop-control", "fuse", "net/tun", "mapper/control",
             "null", "urandom"):
    found[name] = tried(lambda: os.close(os.open("/dev/" + name, os.O_RDWR)))
"""
    inside = stage.probe(code, where="/tmp")
    assert [inside.pop(name) for name in ("mknod fifo", "null", "urandom")] == ["ok", "ok", "ok"]
    assert set(inside.values()) <= {"EPERM", "ENOENT", "EACCES"}, inside
    where = f"/dev/shm/probe-{secrets.token_hex(4)}"  # two of these run at once, when two tenants attack
    outside = in_new_namespaces(f"os.mkdir({where!r})\n{code}import shutil; shutil.rmtree({where!r})", where=where)
    assert outside["mknod char"] == "ok"
    assert "ok" in (outside["loop0"], outside["loop-control"], outside["kvm"])


def test_16_setuid_programs_give_nothing(stage: Stage) -> None:
    code = """
import shutil, subprocess
shutil.copy("/usr/bin/id", "/tmp/own-id")
os.chmod("/tmp/own-id", 0o6755)
found["bit"] = bool(os.stat("/tmp/own-id").st_mode & 0o4000)
ran = subprocess.run(["/tmp/own-id", "-u"], capture_output=True, text=True)
found["own"] = ran.stdout.strip()
ran = subprocess.run(["/bin/su", "-c", "id -u"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
found["su"] = ran.stdout.strip()
found["su there"] = os.path.exists("/bin/su")
found["setuid programs"] = any(one.stat(follow_symlinks=False).st_mode & 0o4000 for one in os.scandir("/usr/bin"))
found["nosuid"] = all("nosuid" in line.split()[5] for line in open("/proc/self/mountinfo"))
found["privileges"] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("NoNewPrivs")]
"""
    inside = stage.probe(code)
    assert inside["own"] == "2000"
    assert inside["su"] == ""
    assert inside["nosuid"] is True
    assert inside["privileges"] == ["1"]
    if inside["su there"]:
        assert inside["setuid programs"], "the stack has some: that they have no effect is no accident"
    drop = "import shutil; shutil.copy('/usr/bin/id', '/dev/shm/own-id'); os.chmod('/dev/shm/own-id', 0o4755)\n"
    run = (
        "import subprocess\nfound['euid'] = subprocess.run(['setpriv', '--reuid=2000', '--clear-groups', "
        "'/dev/shm/own-id', '-u'], capture_output=True, text=True).stdout.strip(); os.remove('/dev/shm/own-id')"
    )
    remount = "libc.mount(b't', b'/dev/shm', b'tmpfs', 0, 0)\n"
    assert in_new_namespaces(remount + drop + run) == {"euid": "0"}, "where setuid works, it works"


def test_17_file_capabilities_have_no_effect(stage: Stage) -> None:
    """The operator puts them on a file of the tenant's; the tenant itself cannot even set them."""
    # Version 2, effective bit, CAP_SYS_ADMIN and CAP_SETUID permitted.
    capability = bytes.fromhex("01000002") + ((1 << 21) | (1 << 7)).to_bytes(4, "little") + bytes(12)
    code = """
import shutil, subprocess
if not os.path.exists(where):
    shutil.copy("/usr/bin/python3", where)
    os.chmod(where, 0o755)
found["set"] = tried(os.setxattr, where, "security.capability", capability)
found["plain attribute"] = tried(os.setxattr, where, "user.word", b"x")
"""
    assert stage.probe(code, where="/home/vcap/app/tool", capability=capability) == {
        "set": "EPERM",
        "plain attribute": "ok",
    }
    look = """
import subprocess
text = "print([l.split()[1] for l in open('/proc/self/status') if l.startswith('CapEff')][0].strip('0') != '')"
ran = subprocess.run([*before, where, "-I", "-c", text], capture_output=True, text=True)
found["gained"] = ran.stdout.strip() or ran.stderr[-200:]
"""
    tool = stage.node.node.directory / "run/disks" / stage.attacker.guid / "upper/home/vcap/app/tool"
    os.setxattr(tool, "security.capability", capability)
    assert stage.probe(look, where="/home/vcap/app/tool", before=[]) == {"gained": "False"}
    outside = f"""
import shutil
libc.mount(b't', b'/dev/shm', b'tmpfs', 0, 0)
shutil.copy("/usr/bin/python3", "/dev/shm/tool")
os.chmod("/dev/shm/tool", 0o755)
os.setxattr("/dev/shm/tool", "security.capability", {capability!r})
{look}"""
    before = ["setpriv", "--reuid=2000", "--clear-groups"]
    assert in_new_namespaces(outside, where="/dev/shm/tool", before=before) == {"gained": "True"}
