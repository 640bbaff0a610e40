"""Attempts 42 to 44 and 51 to 54: outlive, stall or mislead those who run the instances."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from paasd.config import SandboxConfig
from paasd.sandbox import Container, ContainerSpec, ProcessSpec, SandboxError, open_sandbox, take_inventory
from paasd.sandbox.sandbox import node_prefix
from tests.node.harness import HELLO, SERVER
from tests.sandbox.place import output

from .stage import SECRET, SMALL, Stage, program

pytestmark = pytest.mark.root


def running(marker: str) -> list[int]:
    """Processes of the host whose arguments or title hold `marker`."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != os.getpid():
            try:
                line = (path / "cmdline").read_bytes()
            except OSError:
                continue
            if marker.encode() in line:
                found.append(int(path.name))
    return found


DAEMONS = """
import subprocess, sys, time
for number in range(5):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        subprocess.Popen(
            ["/bin/sh", "-c", f"trap '' TERM HUP INT; while :; do sleep 1; done; : {marker}"], start_new_session=True
        )
        os._exit(0)
print("up", flush=True)
time.sleep(lasting)
"""


def test_42_daemons_do_not_outlive_their_container(stage: Stage) -> None:
    marker = f"daemon-{os.getpid()}"
    with stage.container() as container:
        stage.start(container, DAEMONS, marker=marker, lasting=1000)
        stage.said(container, "up")
        stage.until(lambda: len(running(marker)), lambda count: count >= 6)
        stage.run(container.kill)
        assert running(marker) == []
        # The same when the app itself ends and leaves them.
        ended, _said = stage.attack(container, DAEMONS, marker=marker, lasting=0.5)
        assert ended.code == 0
        assert stage.until(lambda: running(marker), lambda found: not found, timeout_s=5) == []
        assert container.usage().pids == 0


STUBBORN = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: print('not going', flush=True))\n"
POLITE = "import os, signal\nsignal.signal(signal.SIGTERM, lambda *_: (print('going', flush=True), os._exit(0)))\n"


def test_43_who_ignores_term_is_killed_after_the_grace(stage: Stage) -> None:
    grace = stage.node.node.config.supervisor.stop_grace_s
    took = {}
    for name, prelude in (("stubborn", STUBBORN), ("polite", POLITE)):
        result = stage.push(name, {**HELLO, "server.py": prelude + SERVER})
        assert result["type"] == "result", result
        container = stage.instance(result["app"]["guid"])
        if name == "stubborn":
            container.signal(signal.SIGTERM)
            guid = result["app"]["guid"]
            stage.lines(guid, lambda lines: any(b"not going" in line.payload for line in lines), limit=100)
            assert container.running
        began = time.monotonic()
        stage.delete(name)
        took[name] = time.monotonic() - began
        assert container.guid not in stage.node.node.sandbox.containers
    assert took["stubborn"] >= grace
    assert took["stubborn"] < grace + 15


FLOODING = """
import os, sys, threading
def flood():
    block = b"x" * 65536
    while True:
        os.write(1, block)
        os.write(2, block)
threading.Thread(target=flood, daemon=True).start()
"""


def test_44_endless_output_stalls_nobody(stage: Stage) -> None:
    """Without a line end, on both streams, from an app that never reads what it is sent."""
    manifest = "applications:\n- name: flooding\n  memory: 96M\n  log-rate-limit-per-second: 16K\n"
    result = stage.push("flooding", {**HELLO, "server.py": FLOODING + SERVER}, manifest)
    assert result["type"] == "result", result
    try:
        container = stage.instance(result["app"]["guid"])
        before = container.usage().cpu_ns
        slowest = 0.0
        for _ in range(20):
            began = time.monotonic()
            answer: httpx.Response = stage.run(stage.node.api.get, "/v3/apps")
            slowest = max(slowest, time.monotonic() - began)
            assert answer.status_code == 200
        assert slowest < 5
        assert stage.run(stage.node.get, "flooding.apps.localhost").status_code == 200
        assert container.usage().cpu_ns > before, "it goes on flooding"
        spooled = sum(path.stat().st_size for path in container.spool.glob("*.seg"))
        assert spooled <= stage.node.node.config.supervisor.spool_limit_bytes + (1 << 20)
    finally:
        stage.delete("flooding")


def test_51_environment_and_arguments_reach_the_app_alone(stage: Stage) -> None:
    marker = f"injected-{os.getpid()}"
    env = {
        "LD_PRELOAD": f"/home/vcap/app/{marker}.so",
        "LD_LIBRARY_PATH": f"/home/vcap/app/{marker}",
        "PYTHONPATH": f"/home/vcap/app/{marker}",
        "PYTHONINSPECT": marker,
        "BASH_ENV": f"/home/vcap/app/{marker}",
        "TWO\nLINES": f"{marker}\nLD_AUDIT=/x.so",
        "PATH": "/home/vcap/app:/usr/bin:/bin",
    }
    with stage.container() as container:
        code = "import time\nprint(repr(sorted(os.environ)), flush=True)\ntime.sleep(1000)"
        stage.run(container.start, ProcessSpec(argv=program(code, {}), env=env, cwd="/"))
        said = stage.said(container, "PYTHONPATH")
        assert f"{marker}.so' from LD_PRELOAD cannot be preloaded" in said, "the app's loader has seen it"
        assert "'TWO\\nLINES'" in said
        assert "LD_AUDIT" not in said
        shims = running(f"paasd-shim {stage.node.node.sandbox.prefix} {container.guid}")
        assert len(shims) == 1
        pid1 = int(Path(f"/proc/{shims[0]}/task/{shims[0]}/children").read_text().split()[0])
        for pid in (shims[0], pid1):
            assert marker.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
            assert marker not in Path(f"/proc/{pid}/maps").read_text()
        status, said = stage.execute(("/usr/bin/env",), container, env)
        assert (status, marker in said) == (0, True)
        for argv in (("--help",), ("-c",), ("",), ("../../bin/sh\0x",), ("/nonexistent",)):
            with pytest.raises(SandboxError):
                stage.execute(argv, container)
        assert stage.probe("found['still'] = True", container) == {"still": True}
    answer = set_environment(stage, {"A\0B": "x", "": "y", "C=D": "z", "VALUE": "a\0b"})
    assert answer.status_code in (200, 400, 422)


def set_environment(stage: Stage, variables: dict[str, str]) -> httpx.Response:
    """Through the API, on an app that is then restarted: the platform survives whatever the API lets through."""
    result = stage.push("odd", HELLO)
    assert result["type"] == "result", result
    guid = result["app"]["guid"]
    try:
        answer: httpx.Response = stage.run(
            stage.node.api.patch, f"/v3/apps/{guid}/environment_variables", json={"var": variables}
        )
        fine = stage.run(stage.node.api.patch, f"/v3/apps/{guid}/environment_variables", json={"var": {"FINE": "x\ny"}})
        assert fine.status_code == 200
        assert stage.run(stage.node.api.post, f"/v3/apps/{guid}/actions/restart").status_code == 200
        if answer.status_code == 200:
            stage.until(lambda: stage.run(stage.stats, guid), lambda found: bool(found))
        else:
            stage.until(
                lambda: stage.run(stage.stats, guid), lambda found: [one["state"] for one in found] == ["RUNNING"]
            )
            inside = stage.probe(
                "first = sorted(int(n) for n in os.listdir('/proc') if n.isdigit())[1]\n"
                "found['fine'] = b'FINE=x\\ny\\0' in open(f'/proc/{first}/environ', 'rb').read()",
                stage.instance(guid),
            )
            assert inside == {"fine": True}
        return answer
    finally:
        stage.delete("odd")


def test_52_joining_programs_cannot_leave_the_bounds(stage: Stage) -> None:
    with stage.container() as container:
        stage.run(container.start, ProcessSpec(argv=("/bin/sleep", "1000"), cwd="/"))
        code = """
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
found["caps"] = {name: status[name].strip("0\\n") for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
found["filter"] = status["Seccomp"].strip()
found["privileges"] = status["NoNewPrivs"].strip()
found["uid"] = status["Uid"].split()
found["namespaces"] = {name: os.readlink("/proc/self/ns/" + name) == os.readlink(f"/proc/{first}/ns/" + name)
                       for name in ("mnt", "net", "pid", "user", "ipc", "uts", "cgroup")}
found["descriptors"] = sorted(os.listdir("/proc/self/fd"))[:-1]
found["mount"] = call("mount", 0, 0, 0, 0, 0)
"""
        look = "first = sorted(int(name) for name in os.listdir('/proc') if name.isdigit())[1]\n"
        inside = stage.probe(look + code, container)
        assert set(inside["caps"].values()) == {""}
        assert (inside["filter"], inside["privileges"], inside["mount"]) == ("2", "1", "EPERM")
        assert inside["uid"] == ["2000"] * 4
        assert set(inside["namespaces"].values()) == {True}
        assert inside["descriptors"] == ["0", "1", "2"], "nothing of the caller's but what it passed"
        bomb = """
count = 0
try:
    while count < 500:
        if os.fork() == 0:
            os.setsid()
            import time
            time.sleep(1000)
        count += 1
except OSError as error:
    found["error"] = errno.errorcode[error.errno]
found["count"] = count
"""
        inside = stage.probe(bomb, container)
        assert inside["error"] == "EAGAIN"
        assert inside["count"] < SMALL.pids
        assert container.usage().pids > 10, "they are still there, and counted"
        stage.run(container.kill)
        assert container.usage().pids == 0


CRASHING = """
import os, sys, trio
from pathlib import Path
from paasd.config import SandboxConfig
from paasd.sandbox import ContainerSpec, Limits, ProcessSpec, open_sandbox

async def main():
    limits = Limits(memory_bytes=64 << 20, pids=32, disk_bytes=8 << 20, inodes=200)
    async with open_sandbox(SandboxConfig(), Path(sys.argv[1]), keep=True) as sandbox:
        async def churn(name):
            number = 0
            while True:
                number += 1
                container = await sandbox.create(ContainerSpec(guid=f"{name}-{os.getpid()}-{number}", limits=limits))
                await container.start(ProcessSpec(argv=("/bin/sleep", "1000"), cwd="/"))
                print("started", flush=True)
                await container.destroy()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(churn, "a")
            nursery.start_soon(churn, "b")

trio.run(main)
"""


@contextmanager
def churning(data: Path) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-c", CRASHING, str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def test_53_a_daemon_killed_in_the_middle_leaves_nothing_behind(stage: Stage, tmp_path: Path) -> None:
    data = tmp_path / "node"
    data.mkdir(mode=0o700)
    table = Path("/run/paasd/slots.json")
    prefix = node_prefix(data)
    before = take_inventory(data, prefix, table)
    left = []

    async def reconcile() -> None:
        async with open_sandbox(SandboxConfig(), data, keep=False):
            pass

    try:
        for number in range(4):
            with churning(data) as process:
                assert process.stdout is not None
                # At another moment of starting and stopping each time.
                for line in process.stdout:
                    if line == b"started\n":
                        break
                time.sleep(0.013 * number)
            left.append(take_inventory(data, prefix, table).difference(before))
    finally:
        stage.run(reconcile)
    assert any(kinds.get("cgroups") for kinds in left)
    assert any(kinds.get("processes") for kinds in left)
    gone = take_inventory(data, prefix, table).difference(before)
    gone.pop("descriptors", None)  # of this process, in which the node goes on serving
    assert gone == {}


def test_54_a_reused_uid_block_finds_nothing_of_its_former_owner(stage: Stage, tmp_path: Path) -> None:
    slots = tmp_path / "slots.json"
    search = """
hits, owned = [], []
for root, directories, files in os.walk("/", onerror=None):
    if root in ("/proc", "/sys") or root.startswith(("/usr", "/proc/")):
        directories[:] = []
        continue
    for name in files:
        path = os.path.join(root, name)
        if not os.path.isfile(path):
            continue
        try:
            if SECRET.encode() in open(path, "rb").read(1 << 20):
                hits.append(path)
        except OSError:
            pass
found["hits"] = hits
with open("/tmp/free", "wb") as file:
    file.truncate(8 << 20)
found["blocks"] = SECRET.encode() in open("/tmp/free", "rb").read()
fd = os.open("/tmp/raw", os.O_RDWR | os.O_CREAT)
os.posix_fallocate(fd, 0, 16 << 20)
found["unwritten"] = SECRET.encode() in b"".join(iter(lambda: os.read(fd, 1 << 20), b""))
"""
    keep = """
for path in ("/tmp/secret", "/dev/shm/secret", "/home/vcap/app/secret"):
    with open(path, "w") as file:
        file.write(SECRET * 1000)
    os.chmod(path, 0o600)
os.sync()
"""

    async def tenancy(name: str, codes: list[str]) -> tuple[int, list[str]]:
        # Every tenancy begins with the table as it was at first: each gets the same block.
        slots.write_text('{"next": 4000}')
        async with open_sandbox(SandboxConfig(), tmp_path / "node", keep=False, slots=slots) as sandbox:
            container: Container = await sandbox.create(ContainerSpec(guid=name, limits=SMALL))
            said = []
            for code in codes:
                argv = program(code, {"SECRET": SECRET[::-1]})
                await container.start(ProcessSpec(argv=argv, env={"LANG": "C.UTF-8"}, cwd="/"))
                await container.wait()
                said.append(output(container.spool))
            return container.record.slot, said

    (tmp_path / "node").mkdir(mode=0o700)
    first, said = stage.run(tenancy, "former", [keep, search])
    assert '"hits": ["/' in said[1], "the former owner finds its own"
    second, said = stage.run(tenancy, "next", [search])
    assert first == second
    assert said[0].strip() == '{"hits": [], "blocks": false, "unwritten": false}'
