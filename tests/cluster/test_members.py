"""Three commands make a platform of several nodes; what cannot join is told why; nodes are drained and removed."""

import re
import time
from pathlib import Path

import pytest
import trio

from tests.cluster.cluster import Cluster, Load, Member, cluster, failures
from tests.node.harness import HELLO

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

MANIFEST = "applications:\n- name: hello\n  instances: {instances}\n  memory: 64M\n"


def refused(member: Member, token: str) -> str:
    """What a join by this token is told."""
    with pytest.raises(AssertionError) as caught:
        member.paasd("join", token, "--config", str(member.config))
    return str(caught.value)


def token_of(member: Member, *options: str) -> str:
    """A fresh token, made on this node."""
    return next(word for word in member.paasd("token", "create", *options).split() if word.startswith("paasd1-"))


async def running(platform: Cluster, through: Member, count: int) -> None:
    """Wait until so many instances of the app run."""

    async def enough() -> bool:
        return f"{count} of {count} running" in through.paasd("app", "hello")

    await platform.until(enough, limit_s=60, what=f"{count} instances")


async def test_nodes_join_serve_and_leave(tmp_path: Path) -> None:
    began = time.monotonic()
    async with cluster(tmp_path / "hosts", ["dc/a", "dc/b", "dc/c"]) as platform:
        one, two, three = platform.members
        print(f"from nothing to three nodes: {time.monotonic() - began:.1f} s")
        listed = two.paasd("members")
        assert [line.split()[0] for line in listed.splitlines()[1:] if line] == ["node1", "node2", "node3"]
        assert listed.count("alive") == 3

        result = await two.push("hello", HELLO, MANIFEST.format(instances=3))
        assert result["type"] == "result", result
        await running(platform, three, 3)

        load = Load(platform, "hello.apps.localhost", 50, platform.members)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.read)
            await platform.until(lambda: answered(load, 150), what="answers through every node")
            assert {answer.address for answer in load.answers()} == {m.host.address for m in platform.members}
            assert len({answer.body for answer in load.answers()}) == 3, "each node reaches instances of the others"

            drained = await trio.to_thread.run_sync(lambda: one.paasd("node", "drain", "node3"))
            assert "drained: nothing of tenants runs on it any more" in drained
            await running(platform, one, 3)
            assert re.search(r"node3 .*draining.* 0$", one.paasd("members"), re.M)
            await load.stop()
        assert failures(load.answers(), 0, through=platform.members) == []

        await trio.to_thread.run_sync(lambda: one.paasd("node", "undrain", "node3"))
        await platform.until_settled()  # among other things it votes again
        assert "`paasd node drain node3` hands its vote over first" in str(caught_removal(one, "node3"))
        await trio.to_thread.run_sync(lambda: one.paasd("node", "remove", "node3", "--force"))
        assert "node3" not in one.paasd("members")
        await running(platform, one, 3)


def caught_removal(member: Member, name: str) -> AssertionError:
    """A node that works is not removed by accident."""
    with pytest.raises(AssertionError) as caught:
        member.paasd("node", "remove", name)
    return caught.value


async def answered(load: Load, count: int) -> bool:
    return load.counts()["200"] >= count


async def test_tokens_that_are_wrong_are_refused_in_words(tmp_path: Path) -> None:
    async with cluster(tmp_path / "hosts", ["dc/a", "dc/b"], started=1) as platform:
        one, two = platform.members
        two.host.power_on()
        token = token_of(one, "--zone", "dc/elsewhere")
        assert "the join token is for zone dc/elsewhere" in refused(two, token)
        assert "was mistyped or cut off" in refused(two, token[:-1])
        assert "was mistyped or cut off" in refused(two, token.replace("control", "worker", 1))
        assert "is no join token" in refused(two, "nonsense")
        assert "newer paasd" in refused(two, token.replace("paasd1", "paasd2", 1))

        good = token_of(one)
        parts = good.split("-")
        for changed, why in ((3, "not known here"), (4, "is not the platform that made the token")):
            assert why in refused(two, with_part(parts, changed))
        deleted = token_of(one)
        one.paasd("token", "delete", deleted.split("-")[2])
        assert "not known here" in refused(two, deleted)
        said = two.paasd("join", good, "--config", str(two.config))
        assert "in zone dc/b" in said
        assert f"Start it: sudo paasd serve --config {two.config}" in said
        assert "has joined already" in refused(two, good)


def with_part(parts: list[str], number: int) -> str:
    """The token with one part replaced, and a checksum that fits: for what only the platform can find."""
    from paasd.membership.tokens import _checksum

    first = "a" if parts[number][0] != "a" else "b"
    body = "-".join([*parts[:number], first + parts[number][1:], *parts[number + 1 : -1]])
    return f"{body}-{_checksum(body)}"
