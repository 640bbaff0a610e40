"""Passcodes: `cf login --sso`, the page that gives them, and that each counts once."""

import re
import shutil
from pathlib import Path
from typing import Any

import httpx
import trio

from paasd.config import ApiConfig, Config
from paasd.state import Faults, MemoryLog
from tests.api.serving import CHEAP_HASHES, PASSWORD, Served, serve
from tests.api.sign_in import ask_token, enrol, events, signed_in
from tests.api.test_tokens import payload_of

CODE = re.compile(r'class="code">([a-z0-9-]+)<')


def browser(served: Served) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=served.doors.url, headers={"Accept": "text/html"}, timeout=20)


async def test_the_key_of_a_stranger_brings_nobody_elses_token(served: Served) -> None:
    codes = {}
    for name in ("ada", "eve"):
        await served.make_user(name)
        async with browser(served) as http:
            found = CODE.search((await typed(http, username=name, password=PASSWORD)).text)
        assert found is not None
        codes[name] = found[1]
    async with httpx.AsyncClient(base_url=served.doors.url, auth=("cf", "")) as http:
        for name, code in codes.items():
            form = {"grant_type": "password", "passcode": code}
            reply = await http.post("/oauth/token", data=form, headers={"Idempotency-Key": "a-fixed-word"})
            assert reply.status_code == 200, reply.text
            assert payload_of(reply.json()["access_token"])["user_name"] == name


async def use(served: Served, code: str) -> httpx.Response:
    return await ask_token(served, grant_type="password", passcode=code)


async def typed(http: httpx.AsyncClient, **form: str) -> httpx.Response:
    return await http.post("/passcode", data=form)


async def test_a_person_gets_a_code_on_the_page_and_the_client_a_token_once(served: Served) -> None:
    await served.make_user("ada")
    async with browser(served) as http:
        prompts = (await http.get("/login", headers={"Accept": "application/json"})).json()["prompts"]
        kind, text = prompts["passcode"]
        assert kind == "password"
        where = re.search(r"https?://\S+/passcode", text)
        assert where is not None
        shown = await http.get(where[0])
        assert shown.headers["Content-Type"].startswith("text/html")
        assert "frame-ancestors 'none'" in shown.headers["Content-Security-Policy"]
        assert "<script" not in shown.text
        wrong = await typed(http, username="ada", password="<b>no")
        assert (wrong.status_code, "Bad credentials" in wrong.text) == (401, True)
        right = await typed(http, username="ada", password=PASSWORD)
        assert right.status_code == 200, right.text
    found = CODE.search(right.text)
    assert found is not None
    reply = await use(served, found[1])
    assert reply.status_code == 200, reply.text
    assert payload_of(reply.json()["access_token"])["user_name"] == "ada"
    assert "refresh_token" in reply.json()
    again = await use(served, found[1])
    assert (again.status_code, again.json()["error"]) == (401, "unauthorized")
    assert (await use(served, "")).status_code == 401
    [event] = await events(served, "audit.user.sign_in")
    assert event["data"]["by"] == "passcode"
    assert found[1] not in str(event)


async def test_a_code_ends_after_five_minutes_and_with_the_sessions_of_its_owner(served: Served) -> None:
    guid = await served.make_user("ada")
    codes = []
    for _ in range(2):
        async with await signed_in(served, "ada") as http:
            codes.append((await http.get("/passcode")).json()["passcode"])
    async with await served.admin() as http:
        assert (await http.delete(f"/oauth/token/revoke/user/{guid}")).status_code == 200
    assert (await use(served, codes[0])).status_code == 401
    async with await signed_in(served, "ada") as http:
        late, good = [(await http.get("/passcode")).json()["passcode"] for _ in range(2)]
    assert (await use(served, good)).status_code == 200
    served.clock.ahead_s += 301
    assert (await use(served, late)).status_code == 401


async def test_who_has_a_second_factor_shows_it_on_the_page_and_the_token_says_so(served: Served) -> None:
    await served.make_user("ada")
    authenticator, _ = await enrol(served, "ada")
    async with browser(served) as http:
        without = await typed(http, username="ada", password=PASSWORD)
        assert (without.status_code, "second factor is needed" in without.text) == (401, True)
        shown = await typed(http, username="ada", password=PASSWORD, code=authenticator.code())
    found = CODE.search(shown.text)
    assert found is not None, shown.text
    token = (await use(served, found[1])).json()["access_token"]
    assert payload_of(token)["amr"] == ["mfa"]


async def test_a_form_that_another_site_sends_is_refused(served: Served) -> None:
    await served.make_user("ada")
    async with browser(served) as http:
        form = {"username": "ada", "password": PASSWORD}
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
            assert (await http.post("/passcode", data=form, headers=headers)).status_code == 403
        own = {"Origin": served.doors.url, "Sec-Fetch-Site": "same-origin"}
        assert (await http.post("/passcode", data=form, headers=own)).status_code == 200


async def test_only_people_get_codes_and_made_up_ones_write_nothing_and_have_to_wait(tmp_path: Path) -> None:
    auth = Config(api=ApiConfig(port=0), auth=CHEAP_HASHES)
    async with serve(tmp_path, auth) as served:
        async with served.client() as http:
            refused = await http.get("/passcode", headers={"Authorization": "bearer nonsense"})
            assert refused.status_code == 401
        index = served.context.database.index
        assert {(await use(served, f"made-up-{number}")).status_code for number in range(3)} == {401}
        assert served.context.database.index == index


async def test_a_narrowed_token_does_not_become_a_wide_one(served: Served) -> None:
    await served.make_user("ada")
    async with await signed_in(served, "ada", scope="cloud_controller.read uaa.user") as http:
        refused = await http.get("/passcode")
        assert (refused.status_code, refused.json()["error"]) == (403, "insufficient_scope")
    async with await signed_in(served, "ada") as http:
        assert (await http.get("/passcode")).status_code == 200


async def test_users_of_another_origin_are_told_to_use_a_passcode(served: Served) -> None:
    await served.make_user("ada")
    form = {"grant_type": "password", "username": "ada", "password": PASSWORD}
    async with httpx.AsyncClient(base_url=served.doors.url, auth=("cf", "")) as http:
        for origin, status in (("corp", 401), ("uaa", 200), ("", 200)):
            hint = {"login_hint": f'{{"origin":"{origin}"}}'}
            answer = await http.post("/oauth/token", params=hint, data=form)
            assert answer.status_code == status, answer.text
            assert status == 200 or "--sso" in answer.json()["error_description"]


async def test_of_two_nodes_that_are_given_a_code_at_once_one_takes_it(tmp_path: Path) -> None:
    log = MemoryLog(1, Faults(delay_s=0.02))
    config = Config(api=ApiConfig(port=0, grace_s=1.0), auth=CHEAP_HASHES)
    async with serve(tmp_path / "one", config, log=log.client()) as one:
        (tmp_path / "two").mkdir(mode=0o700)
        shutil.copy2(tmp_path / "one" / "root-key", tmp_path / "two" / "root-key")
        async with serve(tmp_path / "two", config, log=log.client()) as two:
            await one.make_user("ada")
            async with await signed_in(one, "ada") as http:
                code = (await http.get("/passcode")).json()["passcode"]
            assert await at_once(one, two, grant_type="password", passcode=code) == [200, 401]
            authenticator, _ = await enrol(one, "ada")
            two.clock.ahead_s = one.clock.ahead_s
            form = {"username": "ada", "password": PASSWORD, "mfaCode": authenticator.code()}
            two.clock.ahead_s = one.clock.ahead_s
            assert await at_once(one, two, grant_type="password", **form) == [200, 401]


async def at_once(one: Served, two: Served, **form: str) -> list[int]:
    """Statuses of the same sign-in at two nodes at the same time, sorted."""
    found: list[Any] = []

    async def ask(served: Served) -> None:
        found.append((await ask_token(served, **form)).status_code)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, one)
        nursery.start_soon(ask, two)
    return sorted(found)
