"""What one may not know does not show in how long an answer takes either: names of users, guids of others.

The measure is how often one of two kinds of call is the faster one of a pair; with nothing between them it is half of
the times. The machine's moods meet both alike, since the two of a pair follow each other, in turns. A real difference
shows in every round, chance does not, so the most even one of some rounds counts.
"""

import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import msgspec

from paasd.config import ApiConfig, Config
from tests.api.serving import CHEAP_HASHES, PASSWORD, serve
from tests.api.tenants import make_tenant

ROUNDS = 4
TELLING = 0.25
"""So far from a half is no chance: with 60 pairs it would come once in ten thousand rounds."""
Call = Callable[[], Awaitable[httpx.Response]]


async def lead(one: Call, other: Call, pairs: int, status: int) -> float:
    """How far the share of pairs in which `one` is faster is from a half: 0 to 0.5."""
    faster = 0
    for number in range(pairs):
        took = {}
        for name, call in (("one", one), ("other", other)) if number % 2 else (("other", other), ("one", one)):
            began = time.perf_counter()
            answer = await call()
            took[name] = time.perf_counter() - began
            assert answer.status_code == status, answer.text
        faster += took["one"] < took["other"]
    return abs(faster / pairs - 0.5)


async def tells(one: Call, other: Call, pairs: int, status: int) -> bool:
    """Whether the times tell the two apart, in every round."""
    for _ in range(ROUNDS):
        if await lead(one, other, pairs, status) < TELLING:
            return False
    return True


async def test_a_sign_in_takes_as_long_for_a_name_that_nobody_has(tmp_path: Path) -> None:
    auth = msgspec.structs.replace(CHEAP_HASHES, hash_memory_kib=4096, hash_time_cost=2)
    async with serve(tmp_path, Config(api=ApiConfig(port=0), auth=auth)) as served:
        await served.make_user("known@example.org")
        async with httpx.AsyncClient(base_url=served.doors.url) as http:

            def sign_in(name: str, password: str) -> Call:
                form = {"grant_type": "password", "username": name, "password": password}
                return lambda: http.post("/uaa/oauth/token", data=form, auth=("cf", ""))

            wrong, unknown = sign_in("known@example.org", "wrong"), sign_in("nobody@example.org", "wrong")
            assert not await tells(wrong, unknown, 30, 401)
            assert (await sign_in("known@example.org", PASSWORD)()).status_code == 200


async def test_a_foreign_guid_takes_as_long_as_a_random_one(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        mine, theirs = await make_tenant(served, "mine", "developer"), await make_tenant(served, "theirs", "auditor")
        foreign = await theirs.started_app(served, "app")
        for number in range(5):
            await mine.started_app(served, f"app-{number}")
        async with mine.client("developer") as http:

            def get(path: str) -> Call:
                return lambda: http.get(path)

            for path in ("/v3/apps/{}", "/v3/apps/{}/env", "/v3/apps?space_guids={}"):
                guid, status = (theirs.space, 200) if "=" in path else (foreign, 404)
                random = get(path.format(uuid.uuid4()))
                assert not await tells(get(path.format(guid)), random, 60, status), path
            # The measure finds a difference where there is one: what is seen takes longer than what is not.
            info, listed = get("/v3/info"), get("/v3/apps?include=space.organization")
            assert max([await lead(info, listed, 60, 200) for _ in range(ROUNDS)]) > TELLING
