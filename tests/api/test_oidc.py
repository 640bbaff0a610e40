"""Sign-in at an OpenID Connect provider that is not ours, in a process of its own, as a browser goes through it."""

import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import pytest

from paasd.auth.id_tokens import challenge_of
from paasd.config import ApiConfig, Config, OidcConfig
from paasd.model import User
from paasd.model.arguments import SYSTEM
from paasd.model.users import CreateUser, create_user
from tests.api.serving import CHEAP_HASHES, PASSWORD, Served, serve
from tests.api.sign_in import Authenticator, ask_token, events
from tests.api.test_passcodes import CODE, use
from tests.api.test_tokens import payload_of

ROOT = Path(__file__).parents[2]


@contextmanager
def running_provider(port: int = 0) -> Iterator[int]:
    """The provider; its port."""
    command = [sys.executable, "-m", "tests.api.oidc_provider", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with running_provider() as port:
        yield f"http://localhost:{port}"


def config_for(issuer: str, folder: Path, **more: Any) -> Config:
    secret = folder / "client-secret"
    secret.write_text("s3cret\n")
    corp = OidcConfig(issuer=issuer, client_id="paasd", client_secret_file=str(secret), label="Corp & Sons", **more)
    auth = msgspec.structs.replace(CHEAP_HASHES, oidc={"corp": corp})
    return Config(api=ApiConfig(port=0, grace_s=1.0), auth=auth)


@pytest.fixture
async def served(provider: str, tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path, config_for(provider, tmp_path)) as made:
        yield made


class Browser:
    """Goes where it is sent and keeps cookies of each host."""

    def __init__(self, served: Served, cookies: dict[str, str] | None = None) -> None:
        self.served = served
        # Nothing stays open, so that there is nothing to close.
        once = httpx.Limits(max_keepalive_connections=0)
        self.http = httpx.AsyncClient(base_url=served.doors.url, timeout=20, cookies=cookies, limits=once)

    async def begin(self) -> str:
        """From the sign-in page to the provider: the address there."""
        shown = await self.http.get("/uaa/passcode")
        assert "Sign in with Corp &amp; Sons" in shown.text
        sent = await self.http.get("/uaa/oidc/corp")
        assert sent.status_code == 302, sent.text
        return sent.headers["Location"]

    async def at_provider(self, where: str, **form: str) -> str:
        """Sign in there: the address that it sends back to."""
        sent = await self.http.post(where, data=form)
        assert sent.status_code in (302, 303), sent.text
        return sent.headers["Location"]

    async def sign_in(self, subject: str) -> httpx.Response:
        """The whole way: the page at its end."""
        return await self.http.get(await self.at_provider(await self.begin(), sub=subject))


async def token_of(served: Served, shown: httpx.Response) -> dict[str, Any]:
    """Claims of the token that the shown passcode gives."""
    assert shown.status_code == 200, shown.text
    found = CODE.search(shown.text)
    assert found is not None, shown.text
    reply = await use(served, found[1])
    assert reply.status_code == 200, reply.text
    return payload_of(reply.json()["access_token"])


async def test_somebody_new_signs_in_and_is_the_same_user_the_next_time(served: Served, provider: str) -> None:
    first = await token_of(served, await Browser(served).sign_in("s-1"))
    assert (first["user_name"], first["origin"], first["amr"]) == ("ada", "corp", ["pwd"])
    second = await token_of(served, await Browser(served).sign_in("s-1"))
    assert second["user_id"] == first["user_id"]
    async with await served.admin() as http:
        listed = (await http.get("/v3/users?usernames=ada&origins=corp")).json()["resources"]
        assert [(one["username"], one["origin"]) for one in listed] == [("ada", "corp")]
    signs = await events(served, "audit.user.sign_in")
    by = [one["data"]["by"] for one in signs if one["actor"]["name"] == "ada"]
    assert by == ["corp", "passcode", "corp", "passcode"]
    seen = (await Browser(served).http.get(f"{provider}/seen")).json()
    asked = [one for one in seen if "code_challenge" in one][-1]
    redeemed = [one for one in seen if "code_verifier" in one][-1]
    assert asked["code_challenge_method"] == "S256"
    assert challenge_of(redeemed["code_verifier"]) == asked["code_challenge"]
    assert len(redeemed["code_verifier"]) >= 43
    assert redeemed["basic"] == "paasd"


async def test_no_account_is_taken_over_by_its_name_or_address(served: Served) -> None:
    await served.make_user("ada")
    admin = await token_of(served, await Browser(served).sign_in("s-5"))
    assert admin["user_name"] == "admin"
    assert "cloud_controller.admin" not in admin["scope"]
    local = payload_of((await served.login("admin"))["access_token"])
    assert local["user_id"] != admin["user_id"]
    assert local["origin"] == "uaa"
    await token_of(served, await Browser(served).sign_in("s-1"))
    # The provider gives the name of a person who left to another one.
    refused = await Browser(served).sign_in("s-2")
    assert (refused.status_code, "belongs to somebody else" in refused.text) == (401, True)
    for name in ("ada", "admin"):
        form = {"grant_type": "password", "username": name, "password": ""}
        assert (await ask_token(served, **form)).status_code == 401


async def test_an_account_that_was_made_for_the_origin_waits_for_its_owner(provider: str, tmp_path: Path) -> None:
    async with serve(tmp_path, config_for(provider, tmp_path, register=False)) as served:
        unknown = await Browser(served).sign_in("s-3")
        assert (unknown.status_code, "ask a manager" in unknown.text) == (401, True)
        invited = CreateUser(username="bob", origin="corp", registered=True, actor=SYSTEM)
        guid = (await served.context.database.write(create_user, invited)).guid
        claims = await token_of(served, await Browser(served).sign_in("s-3"))
        assert claims["user_id"] == guid
        assert claims["amr"] == ["mfa"], "the provider says that it asked for a second factor"


async def test_who_has_a_second_factor_here_is_asked_for_it_after_the_provider(served: Served) -> None:
    shown = await Browser(served).sign_in("s-1")
    found = CODE.search(shown.text)
    assert found is not None
    token = (await use(served, found[1])).json()["access_token"]
    async with served.client(token) as http:
        made = (await http.post("/paasd/v1/me/second-factor")).json()
        authenticator = Authenticator(served, made["secret"])
        done = await http.post("/paasd/v1/me/second-factor/actions/confirm", json={"code": authenticator.code()})
        assert done.status_code == 200, done.text
    browser = Browser(served)
    asked = await browser.sign_in("s-1")
    assert CODE.search(asked.text) is None
    proof = re.search(r'name="proof" value="([^"]+)"', asked.text)
    assert proof is not None
    wrong = await browser.http.post("/uaa/passcode", data={"proof": proof[1], "code": "000000"})
    assert wrong.status_code == 401
    forged = await browser.http.post("/uaa/passcode", data={"proof": "p1.x.y", "code": authenticator.code()})
    assert forged.status_code == 401
    right = await browser.http.post("/uaa/passcode", data={"proof": proof[1], "code": authenticator.code()})
    assert (await token_of(served, right))["amr"] == ["mfa"]


async def test_a_way_back_that_was_not_begun_here_leads_nowhere(served: Served) -> None:
    one, two = Browser(served), Browser(served)
    back = await one.at_provider(await one.begin(), sub="s-1")
    stranger = Browser(served)
    assert (await stranger.http.get(back)).status_code == 401, "no cookie"
    await two.begin()
    other = await two.http.get(back)
    assert (other.status_code, "not begun in this browser" in other.text) == (401, True)
    altered = back.replace("state=", "state=x")
    assert (await one.http.get(altered)).status_code == 401
    assert (await one.http.get(back)).status_code == 401, "a failure ends the sign-in"
    slow = Browser(served)
    back = await slow.at_provider(await slow.begin(), sub="s-1")
    served.clock.ahead_s += 601
    assert (await slow.http.get(back)).status_code == 401
    with served.context.database.read() as tx:
        assert tx.all(User, origin="corp") == []


async def test_the_browser_is_sent_to_the_login_host_before_it_is_given_a_cookie(served: Served) -> None:
    for host, where in (
        ("api.system.localhost:8443", "https://login.system.localhost:8443/oidc/corp"),
        ("login.system.localhost:8443", None),
    ):
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": host}
        sent = await Browser(served).http.get("/oidc/corp", headers=headers)
        assert sent.status_code == 302
        if where is not None:
            assert (sent.headers["Location"], "Set-Cookie" in sent.headers) == (where, False)
        else:
            back = parse_qs(urlsplit(sent.headers["Location"]).query)["redirect_uri"]
            assert back == ["https://login.system.localhost:8443/oidc/corp/callback"]
            assert {"HttpOnly", "Secure", "SameSite=Lax"} <= set(sent.headers["Set-Cookie"].split("; "))


async def test_a_code_of_the_provider_counts_once_and_only_with_its_own_nonce(served: Served) -> None:
    browser = Browser(served)
    back = await browser.at_provider(await browser.begin(), sub="s-1")
    cookies = dict(browser.http.cookies)
    assert (await browser.http.get(back)).status_code == 200
    assert (await Browser(served, cookies).http.get(back)).status_code == 401
    # A code that was got in another sign-in, with the state of this one.
    victim, attacker = Browser(served), Browser(served)
    stolen = parse_qs(urlsplit(await victim.at_provider(await victim.begin(), sub="s-1")).query)["code"][0]
    own = await attacker.at_provider(await attacker.begin(), sub="s-3")
    swapped = own.replace(parse_qs(urlsplit(own).query)["code"][0], stolen)
    refused = await attacker.http.get(swapped)
    assert (refused.status_code, "does not belong to this sign-in" in refused.text) == (401, True)


async def test_what_the_provider_refuses_or_lacks_is_said_on_the_page(served: Served) -> None:
    denied = Browser(served)
    where = await denied.begin()
    state = parse_qs(urlsplit(where).query)["state"][0]
    # This provider leaves the state out, which the standard demands.
    page = await denied.http.get(await denied.at_provider(where, action="deny") + f"&state={state}")
    assert (page.status_code, "did not sign you in" in page.text) == (401, True)
    nameless = await Browser(served).sign_in("s-4")
    assert (nameless.status_code, "no claim preferred_username" in nameless.text) == (401, True)
    async with httpx.AsyncClient(base_url=served.doors.url) as http:
        for path in ("/oidc/none", "/oidc/none/callback"):
            assert (await http.get(path)).status_code == 400


async def test_keys_may_change_and_a_provider_may_be_away(tmp_path: Path) -> None:
    with running_provider() as port:
        config = config_for(f"http://localhost:{port}", tmp_path)
        async with serve(tmp_path, config) as served:
            await token_of(served, await Browser(served).sign_in("s-1"))
    async with serve(tmp_path, config) as served:
        away = await Browser(served).http.get("/uaa/oidc/corp")
        assert (away.status_code, "cannot be reached" in away.text) == (502, True)
        assert (await served.login("admin", PASSWORD))["access_token"], "passwords go on"
        with running_provider(port):
            await token_of(served, await Browser(served).sign_in("s-1"))
        with running_provider(port):
            browser = Browser(served)
            back = await browser.at_provider(await browser.begin(), sub="s-1")
            assert (await browser.http.get(back)).status_code == 401, "keys were fetched a moment ago"
            served.clock.ahead_s += 11
            await token_of(served, await Browser(served).sign_in("s-1"))
