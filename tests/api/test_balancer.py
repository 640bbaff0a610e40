"""Behind proxies that are believed everybody has their own address; a stranger's word counts for nothing."""

import json
from pathlib import Path

import httpx
import msgspec
import pytest
from werkzeug.datastructures import Headers

from paasd.api.addresses import client_address
from paasd.config import Config, RouterConfig
from tests.api.serving import API, CHEAP_HASHES, PASSWORD, serve

BALANCER = "10.0.0.9"


class Request(msgspec.Struct):
    headers: Headers
    remote_addr: str | None = "127.0.0.1"


@pytest.mark.parametrize(
    ("forwarded", "hops", "address"),
    [
        ([], 1, "127.0.0.1"),
        (["192.0.2.7"], 0, "192.0.2.7"),
        (["192.0.2.7"], 1, "192.0.2.7"),
        (["203.0.113.5, 192.0.2.7"], 0, "192.0.2.7"),
        ([f"203.0.113.5, {BALANCER}"], 1, "203.0.113.5"),
        (["203.0.113.5", BALANCER], 1, "203.0.113.5"),
        ([f"forged, 203.0.113.5,{BALANCER}"], 1, "203.0.113.5"),
        ([f"198.51.100.1, 203.0.113.5, 10.0.0.8, {BALANCER}"], 2, "203.0.113.5"),
        ([f"203.0.113.5:4711, {BALANCER}"], 1, "203.0.113.5"),
        ([f"[2001:db8::5]:4711, {BALANCER}"], 1, "2001:db8::5"),
        ([f"2001:db8::5, {BALANCER}"], 1, "2001:db8::5"),
        ([f"unknown, {BALANCER}"], 1, BALANCER),
        ([f"{'x' * 5000}, {BALANCER}"], 4, BALANCER),
    ],
)
def test_the_address_is_what_the_outermost_believed_proxy_saw(forwarded: list[str], hops: int, address: str) -> None:
    request = Request(Headers([("X-Forwarded-For", one) for one in forwarded]))
    assert client_address(request, hops) == address


async def test_who_guesses_behind_a_balancer_makes_nobody_else_behind_it_wait(tmp_path: Path) -> None:
    auth = msgspec.structs.replace(CHEAP_HASHES, login_failures=2, login_wait_s=60.0)
    async with serve(tmp_path, Config(api=API, auth=auth, router=RouterConfig(trusted_hops=1))) as served:
        await served.make_user("ada")
        refused: list[str] = []
        served.auth.on_refused = lambda address, _name, _why: refused.append(address)
        async with httpx.AsyncClient(base_url=served.doors.url) as http:

            async def sign_in(name: str, password: str, client: str) -> httpx.Response:
                form = {"grant_type": "password", "username": name, "password": password}
                headers = {"X-Forwarded-For": f"{client}, {BALANCER}"}
                return await http.post("/oauth/token", data=form, auth=("cf", ""), headers=headers)

            for number in range(25):
                last = await sign_in(f"nobody{number}", "wrong", "198.51.100.66")
            assert "locked" in last.text, "the one who guesses waits"
            assert set(refused) == {"198.51.100.66"}
            answer = await sign_in("ada", PASSWORD, "203.0.113.77")
            assert answer.status_code == 200, answer.text


async def test_events_name_the_client_and_not_the_balancer(tmp_path: Path) -> None:
    config = Config(api=API, auth=CHEAP_HASHES, router=RouterConfig(trusted_hops=1))
    async with serve(tmp_path, config) as served, await served.admin() as http:
        headers = {"X-Forwarded-For": f"198.51.100.1, 203.0.113.5, {BALANCER}"}
        made = await http.post("/v3/organizations", json={"name": "behind"}, headers=headers)
        assert made.status_code == 201
        lines = (await http.get("/paasd/v1/audit/events")).content.splitlines()
    [line] = [one for one in map(json.loads, lines) if one.get("target_name") == "behind"]
    assert line["address"] == "203.0.113.5"
