"""The keys that all nodes share are changed on whole nodes, by what gossip really tells of them."""

import time

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
        assert (await c.api.get("/paasd/v1/keys")).json()["changes"] == []
        for node in c.nodes:
            assert (await c.get("hello", node=node)).text == "instance 0"
            assert node.node.context.observed.unreachable() == frozenset()
        assert (await c.api.post("/paasd/v1/keys/etcd/actions/change")).status_code == 422, "there is no etcd here"
        assert (await c.api.post("/paasd/v1/keys/domains/actions/change")).status_code == 200
        await c.until(lambda: all(certificates(node) == 2 for node in c.nodes))
        (said,) = (await c.api.get("/paasd/v1/keys")).json()["changes"]
        assert "clients need DATA/certificates/ca.pem anew before" in said
        assert (await c.get("hello")).text == "instance 0"


def certificates(node: EmbeddedNode) -> int:
    """Authorities that the node's clients are told to believe."""
    return node.node.certificates.authority_path.read_bytes().count(b"BEGIN CERTIFICATE")


async def test_members_show_clocks_and_certificates_and_nothing_is_wrong_in_a_fresh_platform() -> None:
    async with paasd.testing.cluster(zones=2) as c:

        async def told() -> bool:
            nodes = (await c.api.get("/paasd/v1/nodes")).json()["nodes"]
            offsets = [node["clock_offset_s"] for node in nodes]
            left_h = [((node["certificate_ends_at"] or 0) - time.time()) / 3600 for node in nodes]
            return offsets == [None, 0.0] and all(23 < left <= 24 for left in left_h)

        await c.until(told)
        status = (await c.api.get("/paasd/v1/status")).json()
        assert [one for one in status["problems"] if "clock" in one or "certificate" in one] == []
