"""Whole nodes over real sockets on loopback."""

from tests.gossip.three import three_nodes, until
from tests.simulation.gossiping import instance


async def test_three_nodes_agree_and_notice_a_loss() -> None:
    async with three_nodes() as (place, end):
        a, b = place.observed["a"], place.observed["b"]
        a.put(instance("a", "one"))
        place.observed["c"].put(instance("c", "two"))
        for one in place.observed.values():
            await until(lambda one=one: {fact.instance_guid for fact in one.instances()} == {"one", "two"}, one)
            await until(lambda one=one: set(one.nodes()) == {"a", "b", "c"}, one)
        end["c"]()
        for one in (a, b):
            await until(lambda one=one: one.unreachable() == {"c"}, one)
            await until(lambda: a.nodes()["a"].unreachable == a.nodes()["b"].unreachable == ("c",), a)
        assert a.reachability("b") == b.reachability("a") == "alive"
        assert a.get("two") is not None, "what it ran is still known: whether it is dead is not for gossip to say"
