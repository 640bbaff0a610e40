"""Answers without an end: followed logs, pushes whose client goes away, the end of the server."""

import base64
import json
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from paasd.api.payer import Payer
from paasd.api.stream import StreamBody, Streams
from paasd.api.turns import ORGANIZATION, PIECE, CallTurns
from paasd.config import ApiConfig
from paasd.errors import Crowded, Unavailable
from paasd.turns import WAITING, Apart
from tests.api.hands import tar_of, working_hands
from tests.api.serving import Served, serve, with_api
from tests.api.tenants import make_tenant


async def make_app(http: httpx.AsyncClient, name: str = "talker") -> str:
    space = (await http.get("/v3/spaces?names=dev")).json()["resources"][0]["guid"]
    body = {"name": name, "relationships": {"space": {"data": {"guid": space}}}}
    return str((await http.post("/v3/apps", json=body)).json()["guid"])


class Wire:
    """An HTTP/1.1 client that can go away in the middle of an answer, which httpx cannot do cleanly under trio."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._buffer = b""

    @classmethod
    async def ask(cls, served: Served, request: str, body: bytes = b"") -> "Wire":
        """Send a request as the administrator."""
        token = (await served.login())["access_token"]
        stream = await trio.open_tcp_stream(served.doors.host, served.doors.port)
        head = f"{request} HTTP/1.1\r\nHost: x\r\nAuthorization: bearer {token}\r\n"
        head += f"Accept: application/x-ndjson\r\nContent-Length: {len(body)}\r\n\r\n"
        await stream.send_all(head.encode() + body)
        return cls(stream)

    async def json_lines(self, count: int) -> list[dict[str, Any]]:
        """The next lines of NDJSON; heads and sizes of chunks are passed over."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            line, end, rest = self._buffer.partition(b"\n")
            if not end:
                data = await self._stream.receive_some(65536)
                assert data, f"the answer ended after {found}"
                self._buffer += data
                continue
            self._buffer = rest
            if line.startswith(b"{"):
                found.append(json.loads(line))
        return found

    async def leave(self) -> None:
        await self._stream.aclose()


def text_of(envelope: dict[str, Any]) -> str:
    return base64.b64decode(envelope["log"]["payload"]).decode()


FOLLOW = "/paasd/v1/spaces/main/dev/apps/talker/logs?follow=1"


async def test_a_follower_gets_what_was_and_what_comes_each_once(served: Served) -> None:
    async with await served.admin() as http:
        guid = await make_app(http)
        served.context.logs.say(guid, "APP/PROC/WEB", "before")
        await served.context.logs.flush()
        with trio.fail_after(10):
            wire = await Wire.ask(served, f"GET {FOLLOW}")
            assert [text_of(one) for one in await wire.json_lines(2)] == [f"Created app with guid {guid}", "before"]
            served.context.logs.say(guid, "APP/PROC/WEB", "after")
            served.context.logs.say(guid, "APP/PROC/WEB", "last")
            assert [text_of(one) for one in await wire.json_lines(2)] == ["after", "last"]
            await wire.leave()


async def test_text_lines_cannot_rewrite_a_terminal(served: Served) -> None:
    async with await served.admin() as http:
        guid = await make_app(http)
        served.context.logs.say(guid, "APP/PROC/WEB", "\x1b[2Jgone\r\x07")
        served.context.logs.say(guid, "APP/PROC/\x1b[2J\r", "of a type from before types were words")
        await served.context.logs.flush()
        text = (await http.get(FOLLOW.removesuffix("?follow=1"), headers={"Accept": "text/plain"})).text
        assert "gone" in text
        assert "\x1b" not in text
        assert "\r" not in text
        assert "[APP/PROC/WEB/0] OUT" in text


async def test_open_streams_are_limited_and_ended_at_once_by_the_end_of_the_server(tmp_path: Path) -> None:
    async with serve(tmp_path, with_api(follow_limit=1, grace_s=30.0)) as served, await served.admin() as http:
        await make_app(http)
        tenant = await make_tenant(served, "one", "developer")
        await tenant.started_app(served, "app")
        streaming, over = trio.Event(), trio.Event()

        async def follow() -> None:
            async with await served.admin() as other, other.stream("GET", FOLLOW) as answer:
                async for _ in answer.aiter_lines():
                    streaming.set()
            # The answer ended regularly: no torn chunk, no exception.
            over.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await streaming.wait()
            async with tenant.client("developer") as somebody:
                second = await somebody.get("/paasd/v1/spaces/one/dev/apps/app/logs?follow=1")
            assert second.status_code == 503
            assert "api.follow_limit" in second.json()["errors"][0]["detail"]
            await http.aclose()
            began = time.monotonic()
            served.end_streams()
            with trio.fail_after(10):
                await over.wait()
        assert time.monotonic() - began < 10


async def test_an_organization_has_a_quarter_of_the_streams_and_one_user_half_of_that() -> None:
    streams = Streams(16)
    ann, bob, carl = (Payer(name, lambda: ["one"]) for name in ("ann", "bob", "carl"))
    other, both = Payer("dora", lambda: ["two"]), Payer("eve", lambda: ["one", "two"])
    async with streams.counted(ann), streams.counted(ann):
        with pytest.raises(Unavailable, match="share of one user"):
            streams.check(ann)
        async with streams.counted(bob), streams.counted(bob):
            with pytest.raises(Unavailable, match="The people of your organization have 4 streams open"):
                streams.check(carl)
            for payer in (other, both, Payer("nowhere")):
                streams.check(payer)
        streams.check(carl)
    streams.check(ann)


async def test_administrators_find_a_stream_when_all_are_taken() -> None:
    streams = Streams(1)
    async with streams.counted(Payer("ann")):
        with pytest.raises(Unavailable, match=r"1 streams open already \(api.follow_limit\)"):
            streams.check(Payer("bob"))
        streams.check(Payer("root", free=True))


async def test_of_many_streams_a_few_pieces_go_out_while_the_loop_goes_round() -> None:
    """Forty streams that always have a piece; what else the loop has to do waits for no more than an organization's."""
    turns, streams = CallTurns(ApiConfig(calls_at_once=2)), Streams(1000)
    rounds: list[int] = []
    sent = 0

    @asynccontextmanager
    async def source() -> AsyncIterator[AsyncIterable[bytes]]:
        async def pieces() -> AsyncGenerator[bytes, None]:
            while True:
                await trio.lowlevel.checkpoint()
                yield b"x"

        yield pieces()

    async def send(payer: Payer) -> None:
        nonlocal sent
        turn = partial(turns.turn, payer, PIECE)
        async with StreamBody(source(), streams, payer, turn) as pieces:
            async for _ in pieces:
                sent += 1

    async with trio.open_nursery() as nursery:
        for number in range(40):
            nursery.start_soon(send, Payer(f"{number % 8}", lambda: ["one"]))
        for _ in range(50):
            before = sent
            await trio.lowlevel.checkpoint()
            rounds.append(sent - before)
        nursery.cancel_scope.cancel()
    assert 0 < max(rounds) <= 2 * ORGANIZATION


async def test_every_stream_that_was_let_in_gets_a_turn_for_its_piece() -> None:
    """One line wakes all that follow it, which is more than may wait of somebody's calls."""
    turns, streams, payer = CallTurns(ApiConfig(calls_at_once=1)), Streams(1024), Payer("ann", lambda: ["one"])
    said = trio.Event()
    sent = 0

    @asynccontextmanager
    async def source() -> AsyncIterator[AsyncIterable[bytes]]:
        async def pieces() -> AsyncGenerator[bytes, None]:
            await said.wait()
            yield b"x"

        yield pieces()

    async def send() -> None:
        nonlocal sent
        async with StreamBody(source(), streams, payer, partial(turns.turn, payer, PIECE)) as pieces:
            async for _ in pieces:
                sent += 1

    async with trio.open_nursery() as nursery:
        for _ in range(128):
            streams.check(payer)
            nursery.start_soon(send)
            await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Unavailable, match="share of one user"):
            streams.check(payer)
        said.set()
    assert sent == 128


async def test_calls_that_are_more_than_may_wait_are_refused() -> None:
    turns, payer = CallTurns(ApiConfig(calls_at_once=1)), Payer("ann", lambda: ["one"])

    async def call() -> None:
        async with turns.turn(payer, "read"):
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for _ in range(1 + WAITING):
            nursery.start_soon(call)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Crowded, match="wait for their turn"):
            await call()
        async with turns.turn(payer, PIECE):
            nursery.cancel_scope.cancel()


async def test_every_portion_that_is_made_beside_the_loop_gets_its_turn() -> None:
    apart, done = Apart(), 0

    async def look() -> None:
        nonlocal done
        async with apart.turn("ann"):
            await trio.lowlevel.checkpoint()
            done += 1

    async with trio.open_nursery() as nursery:
        for _ in range(128):
            nursery.start_soon(look)
    assert done == 128


async def test_a_push_goes_on_when_its_client_goes_away(served: Served) -> None:
    async with await served.admin() as http, working_hands(served.context):
        url = "/paasd/v1/spaces/main/dev/push?wait=true&name=left"
        wire = await Wire.ask(served, f"POST {url}", tar_of({"app.py": b"x"}))
        assert (await wire.json_lines(1))[0]["type"] == "step"
        await wire.leave()
        with trio.fail_after(10):
            while True:
                apps = (await http.get("/v3/apps?names=left")).json()["resources"]
                if apps and apps[0]["state"] == "STARTED":
                    break


async def test_a_stopping_server_closes_the_jobs_of_its_pushes(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, await served.admin() as http:
        # Nobody builds, so the push is still under way at the end.
        answer = await http.post("/paasd/v1/spaces/main/dev/push?name=cut", content=tar_of({"app.py": b"x"}))
        assert answer.status_code == 202
        path = answer.headers["Location"].removeprefix(served.doors.url)
        assert (await http.get(path)).json()["state"] == "PROCESSING"
    async with serve(tmp_path) as again, again.root_client() as http:
        job = (await http.get(path)).json()
        assert job["state"] == "FAILED"
        assert "push again" in job["errors"][0]["detail"]
