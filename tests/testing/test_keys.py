"""The keys that all nodes share are changed on whole nodes, by what gossip really tells of them."""

import paasd.testing
from paasd.model import Authority, GossipKey
from paasd.state.sealing import load_root_key
from paasd.testing import EmbeddedNode

from .apps import HELLO


async def test_all_keys_are_changed_while_an_app_is_served() -> None:
    async with paasd.testing.cluster(zones=2) as c:
        await c.push("hello", HELLO)

        def rows(node: EmbeddedNode) -> tuple[list[str], list[str]]:
            with node.node.context.database.read() as tx:
                authorities = sorted(row.state for row in tx.all(Authority, purpose="nodes"))
                return authorities, [row.state for row in tx.all(GossipKey)]

        def roots() -> set[str]:
            return {load_root_key(node.node.directory / "root-key").id for node in c.nodes}

        before = roots()
        for what in ("authority", "gossip", "root", "data"):
            answer = await c.api.post(f"/paasd/v1/keys/{what}/actions/change")
            assert answer.status_code == 200, answer.text
        assert (await c.api.post("/paasd/v1/keys/nonsense/actions/change")).status_code == 404

        async def changed() -> bool:
            return all(rows(node) == (["RETIRED", "SIGNING"], ["SENDING"]) for node in c.nodes)

        await c.until(changed, within_s=60)
        await c.until(lambda: len(roots()) == 1 and roots() != before)
        assert (await c.api.get("/paasd/v1/keys")).json() == {"changes": []}
        for node in c.nodes:
            assert (await c.get("hello", node=node)).text == "instance 0"
            assert node.node.context.observed.unreachable() == frozenset()
