"""Somebody who guesses an account's password does not keep its owner out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec

from paasd.config import ApiConfig, Config
from tests.api.serving import CHEAP_HASHES, PASSWORD, Served, serve

NEW = "seven green bottles of rain"
OWN, STRANGE = "198.51.100.7", "192.0.2.7"


@asynccontextmanager
async def slow_to_guess(directory: Path) -> AsyncIterator[Served]:
    """With waits as they are, and few tries before."""
    auth = msgspec.structs.replace(CHEAP_HASHES, login_failures=2, login_name_failures=6, login_wait_s=60.0)
    async with serve(directory, Config(api=ApiConfig(port=0), auth=auth)) as served:
        await served.make_user("ada")
        yield served


async def sign_in(served: Served, address: str, password: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=served.doors.url, headers={"X-Forwarded-For": address}) as http:
        form = {"grant_type": "password", "username": "ada", "password": password}
        return await http.post("/oauth/token", data=form, auth=("cf", ""))


async def guess(served: Served, *addresses: str) -> None:
    """Until each of these has to wait."""
    for address in addresses:
        said = [(await sign_in(served, address, "wrong")).json()["error_description"] for _ in range(3)]
        assert "locked" in said[-1], said


async def test_a_stranger_locks_out_themselves(tmp_path: Path) -> None:
    async with slow_to_guess(tmp_path) as served:
        await guess(served, STRANGE)
        assert (await sign_in(served, STRANGE, PASSWORD)).status_code == 401
        assert (await sign_in(served, OWN, PASSWORD)).status_code == 200


async def test_who_is_signed_in_changes_the_password_while_all_the_world_guesses_it(tmp_path: Path) -> None:
    async with slow_to_guess(tmp_path) as served:
        ada = served.auth.find_user("ada")
        assert ada is not None
        token = (await served.login("ada"))["access_token"]
        headers = {"X-Forwarded-For": OWN}
        async with served.client(token) as http:
            assert (await http.get("/v3/organizations", headers=headers)).status_code == 200  # on whatever node
            await guess(served, *(f"192.0.2.{number}" for number in range(10)))
            elsewhere = await sign_in(served, "203.0.113.9", PASSWORD)
            assert "locked" in elsewhere.json()["error_description"]
            change = {"password": NEW, "oldPassword": PASSWORD}
            changed = await http.put(f"/Users/{ada.guid}/password", json=change, headers=headers)
            assert changed.status_code == 200, changed.text
        assert (await sign_in(served, OWN, NEW)).status_code == 200
