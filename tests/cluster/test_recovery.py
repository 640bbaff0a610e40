"""Two of three machines are gone for good, by the page that says what to do then (docs/recovery.md)."""

from functools import partial
from pathlib import Path

import pytest
import trio

from tests.cluster.cluster import Member, cluster
from tests.node.harness import HELLO

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(400)]

MANIFEST = "applications:\n- name: hello\n  instances: 3\n  memory: 64M\n"
PASSPHRASE = "correct horse battery"


async def by_hand(member: Member, *words: str) -> str:
    """A command, without holding up what else goes on here."""
    return await trio.to_thread.run_sync(partial(member.paasd, *words, timeout_s=120))


async def test_one_node_goes_on_after_the_loss_of_two_and_takes_new_ones(tmp_path: Path) -> None:
    async with cluster(tmp_path / "hosts", ["dc/a", "dc/b", "dc/c"]) as platform:
        one, two, three = platform.members
        result = await two.push("hello", HELLO, MANIFEST)
        assert result["type"] == "result", result

        async def all_vote() -> bool:
            return (await by_hand(one, "members")).count("voter") == 3

        await platform.until(all_vote, limit_s=90, what="three votes")
        backup = tmp_path / "platform.backup"
        await by_hand(three, "backup", str(backup), "--passphrase", PASSPHRASE)

        await by_hand(one, "stop")
        with pytest.raises(AssertionError, match="can still write"):
            await by_hand(one, "recover", "--yes")
        two.lose()
        three.lose()
        text = await by_hand(one, "recover", "--yes")
        assert "Not reached: node2, node3" in text
        assert "join anew with an empty data directory: node2, node3" in text
        one.start()
        await one.until_answering()

        async def all_here() -> bool:
            return "3 of 3 running" in await by_hand(one, "app", "hello")

        await platform.until(all_here, limit_s=90, what="three instances on the node that is left")
        listed = await by_hand(one, "members")
        assert [line.split()[0] for line in listed.splitlines()[1:] if line] == ["node1"]

        new = tmp_path / "new"
        await by_hand(one, "--data", str(new), "restore", str(backup), "--passphrase", PASSPHRASE)
        assert (new / "state.db").exists()
