"""The door of one node, an instance on another; plain processes on an embedded cluster, for whoever runs this."""

import hashlib
import os
import signal
from pathlib import Path

import psutil
import trio

import paasd.testing
from paasd.testing.cluster import Cluster
from tests.node.harness import free_port
from tests.ssh.hands import LIMIT_S, Hands, ask_through
from tests.testing.apps import HELLO

BYTES = 6 * 1024 * 1024


async def test_any_door_leads_to_any_instance(tmp_path: Path) -> None:
    async with paasd.testing.cluster(zones=2) as c:
        await c.push("hello", HELLO, manifest="applications:\n- name: hello\n  instances: 2\n")
        users = await placed(c)
        assert len({where for where, _ in users}) == 2
        for door in c.nodes:
            hands = await hands_at(c, door, tmp_path)
            for _, user in users:
                await everything(hands, user, tmp_path)
        await the_end_of_a_client(c, users, tmp_path)
        await the_end_of_a_node(c, users, tmp_path)


async def placed(c: Cluster) -> list[tuple[str, str]]:
    """(Guid of the node, user name) of each instance."""
    app = (await c.api.get("/paasd/v1/spaces/main/dev/apps/hello")).json()["guid"]
    process = (await c.api.get(f"/v3/apps/{app}/processes/web")).json()["guid"]
    facts = [
        fact for one in c.nodes for fact in one.node.context.observed.instances() if fact.node_guid == one.node.guid
    ]
    return [(fact.node_guid, f"cf:{process}/{fact.index}") for fact in facts]


async def hands_at(c: Cluster, door: object, tmp_path: Path) -> Hands:
    ssh = door.node.ssh  # type: ignore[attr-defined]
    assert ssh is not None
    with trio.fail_after(LIMIT_S):
        while not ssh.address:
            await trio.sleep(0.05)
    home = tmp_path / f"home{ssh.port}"
    home.mkdir(exist_ok=True)
    return Hands(home, ssh.port, c.api, ssh.public_key, {})


async def everything(hands: Hands, user: str, tmp_path: Path) -> None:
    """Each byte arrives, in both directions at once, and what was written before the end; terminals; ports."""
    given = os.urandom(BYTES)
    done = await hands.ssh(user, "tee copy; sha256sum copy >&2; exit 5", given=given)
    assert (done.returncode, done.stdout == given) == (5, True), done.stderr
    assert done.stderr.split()[0].decode() == hashlib.sha256(given).hexdigest()
    done = await hands.ssh(user, "stty size; kill -USR1 $$", options=["-tt"])
    assert (done.returncode, len(done.stdout.split())) == (255, 2)
    back = tmp_path / "back"
    there = f"scp://{user.replace('/', '%2F')}@127.0.0.1/copy"
    done = await hands.run(["scp", there, str(back)])
    assert (done.returncode, back.read_bytes() == given) == (0, True), done.stderr
    await echo(hands, user)


async def echo(hands: Hands, user: str) -> None:
    """A forwarded connection of which each side ends in its own time."""
    port = int((await hands.ssh(user, "echo $PORT")).stdout)
    near = free_port()
    process = await hands.start(user, options=["-N", "-L", f"{near}:127.0.0.1:{port}"])
    with trio.fail_after(LIMIT_S):
        answer = await ask_through(process, near, b"GET / HTTP/1.0\r\n\r\n")
        assert answer.endswith(f"instance {user[-1]}".encode())
    process.terminate()
    await process.wait()


async def the_end_of_a_client(c: Cluster, users: list[tuple[str, str]], tmp_path: Path) -> None:
    """Also where a program takes nothing of what it is sent."""
    hands = await hands_at(c, c.nodes[0], tmp_path)
    for _, user in users:
        process = await hands.start(user, "sleep 5432")
        assert process.stdin is not None
        with trio.move_on_after(1):
            await process.stdin.send_all(bytes(BYTES))
        assert len(sleepers()) == 1
        process.kill()
        await process.wait()
        with trio.fail_after(LIMIT_S):
            while sleepers():
                await trio.sleep(0.05)


def sleepers() -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", "5432"]]


async def the_end_of_a_node(c: Cluster, users: list[tuple[str, str]], tmp_path: Path) -> None:
    """Who was in an instance of a node that is lost is told so, by a door that lives on."""
    door, lost = c.nodes
    hands = await hands_at(c, door, tmp_path)
    (user,) = (user for where, user in users if where == lost.node.guid)
    process = await hands.start(user, "echo in; sleep 1000")
    assert process.stdout is not None
    assert process.stderr is not None
    with trio.fail_after(LIMIT_S):
        assert await process.stdout.receive_some(10) == b"in\n"
        await lost.kill()
        assert await process.wait() != 0
    assert process.returncode != -signal.SIGKILL
