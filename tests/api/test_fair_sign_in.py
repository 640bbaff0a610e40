"""Somebody who signs in from many connections keeps themselves waiting, and nobody elsewhere."""

import threading

import httpx
import trio
from trio.testing import wait_all_tasks_blocked

from paasd.auth.passwords import Asker
from paasd.turns import WAITING
from tests.api.serving import PASSWORD, Served

HERE = "127.0.0.1"


async def sign_in(http: httpx.AsyncClient, name: str, address: str) -> httpx.Response:
    form = {"grant_type": "password", "username": name, "password": PASSWORD}
    return await http.post("/oauth/token", data=form, auth=("cf", ""), headers={"X-Forwarded-For": address})


async def test_who_has_too_many_passwords_waiting_is_told_when_to_come_again(served: Served) -> None:
    for name in ("eve", "vic"):
        await served.make_user(name)
    gate, passwords = threading.Event(), served.auth.passwords

    async def hash_something() -> None:
        async with passwords._turn(Asker(address=HERE)):
            await passwords._run(lambda: gate.wait(30))

    with trio.fail_after(60):
        async with httpx.AsyncClient(base_url=served.doors.url, timeout=60) as http, trio.open_nursery() as nursery:
            for address in (HERE, "192.0.2.1"):
                assert (await sign_in(http, "vic", address)).status_code == 200
            for _ in range(WAITING + 1):
                nursery.start_soon(hash_something)
            await wait_all_tasks_blocked()
            answer = await sign_in(http, "eve", HERE)
            assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
            assert answer.json()["errors"][0]["code"] == 10013
            page = await http.post("/passcode", data={"username": "eve", "password": PASSWORD})
            assert page.status_code == 429
            assert "wait for their turn" in page.text
            for name, address in (("vic", HERE), ("vic", "192.0.2.1")):
                assert (await sign_in(http, name, address)).status_code == 200
            gate.set()
            assert (await sign_in(http, "eve", "192.0.2.1")).status_code == 200
