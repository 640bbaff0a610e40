"""The unmodified OpenSSH client against a whole node."""

import fcntl
import hashlib
import os
import pty
import signal
import struct
import termios
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from paasd.actions.audit import REFUSALS
from paasd.config import SshConfig
from tests.node.harness import SPACE, Driver, free_port
from tests.ssh.hands import LIMIT_S, ask_through, token
from tests.ssh.scene import Scene, ended, open_scene, waiting

pytestmark = pytest.mark.root

UNSEEN = "audit.user.ssh-unauthorized"
LARGE_BYTES = 24 * 1024 * 1024


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with open_scene(tmp_path, SshConfig(port=0)) as made:
        yield made


async def test_commands_terminals_files_and_ports(scene: Scene, tmp_path: Path) -> None:
    await doors(scene)
    before = scene.programs()
    await commands(scene)
    await terminals(scene)
    await files(scene, tmp_path)
    await ports(scene)
    await scene.quiet(before)
    assert {(kind, name) for kind, name, _ in await scene.events()} == {("audit.app.ssh-authorized", "admin")}
    rights(scene)


async def doors(scene: Scene) -> None:
    """As `cf ssh` finds it: an address, and the fingerprint of the key that is shown there."""
    link = (await scene.node.api.get("/")).json()["links"]["app_ssh"]
    assert scene.node.node.ssh is not None
    assert link["href"] == f"ssh.system.localhost:{scene.node.node.ssh.port}"
    shown = await trio.run_process(["ssh-keygen", "-lf", str(scene.hands.known_hosts)], capture_stdout=True)
    assert shown.stdout.split()[1].decode() == f"SHA256:{link['meta']['host_key_fingerprint']}"
    assert (len(link["meta"]["host_key_fingerprint"]), link["meta"]["oauth_client"]) == (43, "ssh-proxy")


async def commands(scene: Scene) -> None:
    """Output, errors, input, exit status, the environment of the app, and who one is."""
    done = await scene.hands.ssh(scene.user, "echo out; echo err >&2; cat; exit 7", given=b"in")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\nin", b"noise\nerr\n")
    done = await scene.hands.ssh(
        scene.user, "id -u; pwd; echo $PORT $MORE; echo $VCAP_APPLICATION | grep -c hello; tty"
    )
    assert done.stdout.split() == [b"2000", b"/home/vcap/app", b"8080", b"from-profile", b"1", b"not", b"a", b"tty"]
    done = await scene.hands.ssh(scene.user, "kill -TERM $$")
    assert done.returncode == 255  # what ssh makes of a signal
    done = await scene.hands.ssh(scene.user, "sh -c 'sleep 100 & echo $!'; head -c 3000000 /dev/zero")
    assert len(done.stdout) > 3_000_000  # all of what was written before the end


async def terminals(scene: Scene) -> None:
    """A shell on a terminal that follows the size of the person's own; ^C and job control work."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 91, 0, 0))
    process = await scene.hands.start(scene.user, options=["-tt"], stdin=theirs)
    said = bytearray()

    async def until(word: bytes) -> bytes:
        while word not in said:
            assert process.stdout is not None
            said.extend(await process.stdout.receive_some(4096))
        found = bytes(said)
        said.clear()
        return found

    with trio.fail_after(LIMIT_S):
        os.write(ours, b"tty; stty size; echo do''ne\r")
        assert b"/dev/pts/0\r\n33 91\r\ndone" in await until(b"done\r\n")
        fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 100, 0, 0))
        process.send_signal(signal.SIGWINCH)
        os.write(ours, b"until [ \"$(stty size)\" = '50 100' ]; do sleep 0.05; done; echo siz''ed\r")
        await until(b"sized\r\n")
        os.write(ours, b"sleep 1000 || echo interru''pted $?\r")
        await trio.sleep(0.3)  # the shell has to have started it, which nothing shows
        os.write(ours, b"\x03")
        os.write(ours, b"echo go''on; exit 3\r")
        await until(b"goon\r\n")
        assert await process.wait() == 3
    os.close(ours)
    os.close(theirs)


async def files(scene: Scene, tmp_path: Path) -> None:
    """scp by sftp and as it was before, both ways; sftp."""
    large = tmp_path / "large"
    large.write_bytes(os.urandom(LARGE_BYTES))
    digest = hashlib.sha256(large.read_bytes()).hexdigest().encode()
    there = f"scp://{scene.user.replace('/', '%2F')}@127.0.0.1/there"
    for options in ((), ("-O",)):
        back = tmp_path / f"back{''.join(options)}"
        done = await scene.hands.run(["scp", *options, str(large), there])
        assert done.returncode == 0, done.stderr
        done = await scene.hands.ssh(scene.user, "sha256sum there; stat -c %u there")
        assert done.stdout.split() == [digest, b"there", b"2000"]
        done = await scene.hands.run(["scp", *options, there, str(back)])
        assert done.returncode == 0, done.stderr
        assert hashlib.sha256(back.read_bytes()).hexdigest().encode() == digest
    batch = tmp_path / "batch"
    batch.write_text(f"mkdir deep\nput {batch} deep/batch\nls deep\nget /etc/passwd {tmp_path}/passwd\n")
    done = await scene.hands.run(
        ["sftp", "-o", "BatchMode=no", "-b", str(batch), "-o", f"User={scene.user}", "127.0.0.1"]
    )
    assert done.returncode == 0, done.stderr
    assert b"deep/batch" in done.stdout
    assert (tmp_path / "passwd").read_bytes() != Path("/etc/passwd").read_bytes()


async def ports(scene: Scene) -> None:
    """To the app's own port; what the instance may not reach stays out of reach."""
    near, far = free_port(), free_port()
    forwards = [
        "-N",
        "-o",
        "ExitOnForwardFailure=yes",
        "-L",
        f"{near}:localhost:8080",
        "-L",
        f"{far}:169.254.169.254:80",
    ]
    process = await scene.hands.start(scene.user, options=forwards)
    with trio.fail_after(LIMIT_S):
        answer = await ask_through(process, near, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b" 200 OK" in answer
        guid = (await scene.hands.ssh(scene.user, "echo $CF_INSTANCE_GUID")).stdout
        assert answer.endswith(guid)
        async with await trio.open_tcp_stream("127.0.0.1", far) as stream:
            assert await stream.receive_some() == b""
    process.terminate()
    await process.wait()


def rights(scene: Scene) -> None:
    """The process that speaks ssh has none."""
    assert scene.node.node.ssh is not None
    process = scene.node.node.ssh.process
    assert process is not None
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert set(status["Uid"].split()) == {"61171"}
    assert {status[name] for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"], status["Groups"].strip()) == ("1", "2", "")


async def test_who_may_not_come_in_is_told_so_and_no_more(scene: Scene) -> None:
    await codes(scene)
    await foreigners(scene)
    await places(scene)


async def codes(scene: Scene) -> None:
    """Each counts once; a wrong one is no event, the first right one is."""
    code = await scene.hands.code()
    assert (await scene.hands.ssh(scene.user, "true", code=code)).returncode == 0
    for wrong in (code, "aaaa-bbbb-cccc-dddd"):
        done = await scene.hands.ssh(scene.user, "true", code=wrong)
        assert done.returncode == 255
        assert b"The code is wrong, was used before or has expired" in done.stderr
    assert len(await scene.events()) == 1
    refusals = (scene.node.node.directory / REFUSALS).read_text().splitlines()
    assert [("wrong code" in line, '"ssh"' in line) for line in refusals] == [(True, True)] * 2


async def user(node: Driver, name: str) -> dict[str, str]:
    """A new user's guid and the header of their token."""
    made = await node.api.post("/uaa/Users", json={"userName": name, "password": "correct horse battery"})
    assert made.status_code == 201, made.text
    await node.api.post("/v3/users", json={"guid": made.json()["id"]})
    return {"guid": made.json()["id"], **await token(node.api, name, "correct horse battery")}


async def role(node: Driver, kind: str, user_guid: str, **place: str) -> None:
    ((name, guid),) = place.items()
    relationships = {"user": {"data": {"guid": user_guid}}, name: {"data": {"guid": guid}}}
    answer = await node.api.post("/v3/roles", json={"type": kind, "relationships": relationships})
    assert answer.status_code == 201, answer.text


async def foreigners(scene: Scene) -> None:
    """A foreign app is answered as one that is not there, also in what is recorded; an auditor is told more."""
    space = (await scene.node.api.get("/v3/spaces", params={"names": "dev"})).json()["resources"][0]
    organization = space["relationships"]["organization"]["data"]["guid"]
    eve = await user(scene.node, "eve")
    scene.hands.headers = {"Authorization": eve["Authorization"]}
    foreign = await scene.hands.ssh(scene.user, "true")
    nothing = await scene.hands.ssh(f"cf:{eve['guid']}/0", "true")
    assert foreign.stderr.splitlines()[0] == nothing.stderr.splitlines()[0]
    assert b"There is no such app, or you have no role in its space" in foreign.stderr
    assert (foreign.returncode, foreign.stdout) == (nothing.returncode, nothing.stdout) == (255, b"")
    await role(scene.node, "organization_user", eve["guid"], organization=organization)
    await role(scene.node, "space_auditor", eve["guid"], space=space["guid"])
    done = await scene.hands.ssh(scene.user, "true")
    assert (done.returncode, b"Only developers of the space" in done.stderr) == (255, True)
    await role(scene.node, "space_developer", eve["guid"], space=space["guid"])
    assert (await scene.hands.ssh(scene.user, "true")).returncode == 0
    found = [
        (kind.removeprefix("audit.app.ssh-"), data.get("reason", "")[:4])
        for kind, name, data in await scene.events()
        if name == "eve"
    ]
    assert sorted(found) == [("authorized", ""), ("unauthorized", "Only")]
    hidden = (
        await scene.node.api.get("/v3/audit_events", params={"target_guids": eve["guid"], "types": UNSEEN})
    ).json()
    assert [one["data"]["wanted"] for one in hidden["resources"]].count(scene.user) == 1
    await scene.node.api.patch(f"/v3/organizations/{organization}", json={"suspended": True})
    done = await scene.hands.ssh(scene.user, "true")
    assert (done.returncode, b"The organization is suspended" in done.stderr) == (255, True)
    await scene.node.api.patch(f"/v3/organizations/{organization}", json={"suspended": False})


async def places(scene: Scene) -> None:
    """An index that does not run, an app that is stopped."""
    done = await scene.hands.ssh(scene.user.replace("/0", "/5"), "true")
    assert (done.returncode, b"Instance 5 of the process 'web' is not running" in done.stderr) == (255, True)
    await scene.node.api.post(f"{SPACE}/apps/hello/stop")
    with trio.fail_after(LIMIT_S):
        while scene.node.node.sandbox.containers:
            await trio.sleep(0.02)
    done = await scene.hands.ssh(scene.user, "true")
    assert (done.returncode, b"is not running" in done.stderr) == (255, True)


async def test_who_is_in_goes_when_ssh_is_switched_off_or_the_instance_ends(scene: Scene) -> None:
    node, before = scene.node, scene.programs()
    app = await node.app("hello")
    space = (await node.api.get("/v3/spaces", params={"names": "dev"})).json()["resources"][0]
    organization = space["relationships"]["organization"]["data"]["guid"]
    switches = (
        ("PATCH", f"/v3/apps/{app['guid']}/features/ssh", "enabled", "Disabled for app"),
        ("PATCH", f"/v3/spaces/{space['guid']}/features/ssh", "enabled", "Disabled for space"),
        ("PATCH", "/paasd/v1/organizations/main/ssh", "allowed", "Disabled for organization"),
    )
    assert organization
    for method, path, word, reason in switches:
        process = await waiting(scene)
        assert (await node.api.request(method, path, json={word: False})).status_code == 200
        assert reason.lower().encode() in await ended(process)
        await scene.quiet(before)
        done = await scene.hands.ssh(scene.user, "true")
        assert (done.returncode, reason.lower().encode() in done.stderr.lower()) == (255, True)
        answer = await node.api.get(f"/v3/apps/{app['guid']}/ssh_enabled")
        assert answer.json() == {"enabled": False, "reason": reason}
        assert (await node.api.request(method, path, json={word: True})).status_code == 200
        assert (await scene.hands.ssh(scene.user, "true")).returncode == 0
    process = await waiting(scene)
    await node.api.post(f"{SPACE}/apps/hello/restart")
    assert b"The instance has ended" in await ended(process)
