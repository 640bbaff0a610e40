"""A session ends so long after its sign-in, however it is carried on."""

from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from paasd.auth.service import OAuthError
from paasd.auth.sign_in import SignIn
from paasd.auth.tokens import Client
from paasd.config import ApiConfig, Config, OidcConfig
from paasd.model import User
from paasd.model.arguments import SYSTEM
from paasd.model.users import CreateUser, create_user
from tests.api.serving import CHEAP_HASHES, Served, serve
from tests.api.sign_in import ask_token
from tests.api.test_tokens import payload_of

DAY_S = 86400


async def refreshed(served: Served, token: str) -> httpx.Response:
    return await ask_token(served, grant_type="refresh_token", refresh_token=token)


async def carried_on(served: Served, token: str, days: int) -> int:
    """For how many days a session can be carried on by refreshing every day, `days` at most."""
    for day in range(1, days + 1):
        served.clock.ahead_s += DAY_S
        await served.auth.refresh_keys()
        answer = await refreshed(served, token)
        if answer.status_code != 200:
            assert answer.json()["error"] == "invalid_token"
            return day - 1
        token = answer.json()["refresh_token"]
    return days


async def test_a_session_that_is_used_every_day_ends_a_month_after_signing_in(served: Served) -> None:
    await served.make_user("ada")
    assert await carried_on(served, (await served.login("ada"))["refresh_token"], 40) == 29


async def test_a_passcode_carries_a_session_on_and_makes_no_new_one(served: Served) -> None:
    await served.make_user("ada")
    reply = await served.login("ada")
    served.clock.ahead_s += 25 * DAY_S
    await served.auth.refresh_keys()
    reply = (await refreshed(served, reply["refresh_token"])).json()
    async with served.client(reply["access_token"]) as http:
        code = (await http.get("/passcode")).json()["passcode"]
    other = (await ask_token(served, grant_type="password", passcode=code)).json()
    began = payload_of(reply["access_token"])["auth_time"]
    assert payload_of(other["access_token"])["auth_time"] == began < served.clock() - 24 * DAY_S
    assert await carried_on(served, other["refresh_token"], 40) == 4


async def test_a_refresh_token_from_before_counts_from_when_it_was_made(served: Served) -> None:
    await served.make_user("ada")
    claims: dict[str, Any] = payload_of((await served.login("ada"))["refresh_token"])
    del claims["auth_time"]
    old = served.auth.tokens._sign(claims, int(served.clock()))
    served.clock.ahead_s += 20 * DAY_S
    await served.auth.refresh_keys()
    reply = (await refreshed(served, old)).json()
    assert payload_of(reply["access_token"])["auth_time"] == claims["iat"]
    assert await carried_on(served, reply["refresh_token"], 40) == 9


async def test_people_of_a_provider_sign_in_there_again_after_a_day(tmp_path: Path) -> None:
    provider = OidcConfig(issuer="http://localhost:1", client_id="paasd")
    auth = msgspec.structs.replace(CHEAP_HASHES, oidc={"corp": provider})
    async with serve(tmp_path, Config(api=ApiConfig(port=0), auth=auth)) as served:
        made = CreateUser(username="ada", origin="corp", registered=True, actor=SYSTEM)
        ada: User = await served.context.database.write(create_user, made)
        client = Client(client_id="cf")
        reply = served.auth.grant(client, SignIn(user=ada, at=int(served.clock())), ())
        served.clock.ahead_s += DAY_S - 60
        again = served.auth.refresh_grant(client, str(reply["refresh_token"]))
        assert payload_of(str(again["refresh_token"]))["exp"] <= served.clock() + 60
        served.clock.ahead_s += 120
        with pytest.raises(OAuthError, match="expired"):
            served.auth.refresh_grant(client, str(again["refresh_token"]))


async def test_a_shorter_life_counts_for_sessions_that_are_there(tmp_path: Path) -> None:
    async with serve(tmp_path, Config(api=ApiConfig(port=0), auth=CHEAP_HASHES)) as served:
        await served.make_user("ada")
        token = (await served.login("ada"))["refresh_token"]
    shorter = msgspec.structs.replace(CHEAP_HASHES, session_s=600)
    async with serve(tmp_path, Config(api=ApiConfig(port=0), auth=shorter)) as served:
        assert (await refreshed(served, token)).status_code == 200
        served.clock.ahead_s += 700
        assert (await refreshed(served, token)).status_code == 401
