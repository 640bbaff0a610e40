"""A client does not wait for members that are silent, and says so when nobody answers."""

import socket

import pytest
import trio

from paasd.etcd import Unreachable, channel, open_client
from paasd.etcd import messages as m
from tests.etcd.members import village

ANYTHING = m.RangeRequest(key=b"a")


async def test_a_member_that_is_silent_holds_up_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "CONNECT_S", 600.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with village(1) as found:
            known = [silent.getsockname(), *found.through]
            async with open_client(lambda: known, found.members[0].client_context, attempt_s=10.0) as client:
                with trio.fail_after(30):
                    await client.range(ANYTHING)
                assert client.address == found.through[0]


async def test_the_nearest_member_is_taken_when_all_answer() -> None:
    async with village(3) as found, open_client(lambda: found.through, found.members[0].client_context) as client:
        await client.range(ANYTHING)
        assert client.address == found.through[0]


async def test_without_any_that_answers_nothing_was_sent() -> None:
    async with village(1) as found, open_client(lambda: found.through, found.members[0].client_context) as client:
        await found.stop()
        with pytest.raises(Unreachable, match="cannot be reached"):
            await client.range(ANYTHING)
    async with open_client(list, found.members[0].client_context) as client:
        with pytest.raises(Unreachable, match="no member"):
            await client.range(ANYTHING)


async def test_what_fails_inside_comes_out_as_it_is_and_not_in_a_group() -> None:
    async with village(1) as found:
        await found.stop()
        with pytest.raises(Unreachable):
            async with open_client(lambda: found.through, found.members[0].client_context) as client:
                await client.range(ANYTHING)
