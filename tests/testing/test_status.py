"""`paasd status` is asked when something hangs, so it must not hang itself."""

import time
from typing import Any

import trio

import paasd.testing
from paasd.copies.findings import STATE
from paasd.peer import Peer

LIMIT_S = 1.0
"""A good half of it is for a busy machine; without a bound it would be two seconds and more."""


async def test_beside_a_node_that_hangs_the_status_comes_at_once_and_names_it() -> None:
    async with paasd.testing.cluster(zones=3) as c:
        one, hung = c.nodes[0], c.nodes[2]

        async def status() -> tuple[float, list[str]]:
            began = time.monotonic()
            body: dict[str, Any] = (await one.api.get("/paasd/v1/status")).raise_for_status().json()
            return time.monotonic() - began, [words for words in body["problems"] if hung.name in words]

        async def well() -> bool:
            return (await status())[1] == []

        await c.until(well)

        async def hang(_peer: Peer, _body: bytes) -> bytes:
            await trio.sleep_forever()
            raise AssertionError

        hung.node.cluster._peers.serve(STATE, hang)
        took_s, problems = await status()
        assert took_s <= LIMIT_S
        (words,) = problems
        assert "did not answer just now" in words

        c.cut(one, hung)
        took_s = max([(await status())[0] for _ in range(3)])
        assert took_s <= LIMIT_S, "also before gossip has found out"
