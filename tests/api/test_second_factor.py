"""Second factors: enrolled, wanted at every sign-in, good once, and demanded by organizations."""

from pathlib import Path

import httpx
import msgspec
import pyotp
import trio

from paasd.config import ApiConfig, Config
from paasd.model import SecondFactor
from tests.api.serving import CHEAP_HASHES, PASSWORD, Served, serve
from tests.api.sign_in import (
    Authenticator,
    ask_token,
    enrol,
    events,
    make_member,
    make_place,
    names_of,
    sign_in,
    signed_in,
)
from tests.api.test_tokens import payload_of

MINE = "/paasd/v1/me/second-factor"
DEMAND = "/paasd/v1/organizations/acme/second-factor"


def why(answer: httpx.Response) -> str:
    assert answer.status_code == 401, answer.text
    assert answer.json()["error"] == "unauthorized"
    return str(answer.json()["error_description"])


async def test_after_enrolment_the_password_alone_is_not_enough_and_a_code_counts_once(served: Served) -> None:
    await served.make_user("ada")
    before = await served.login("ada")
    authenticator, _ = await enrol(served, "ada")
    async with served.client(before["access_token"]) as http:
        assert (await http.get(MINE)).status_code == 401, "sessions from before the factor end"
    assert "second factor is needed" in why(await sign_in(served, "ada"))
    code = authenticator.code()
    good = await sign_in(served, "ada", mfaCode=code)
    assert good.status_code == 200, good.text
    assert payload_of(good.json()["access_token"])["amr"] == ["mfa"]
    assert "used before" in why(await sign_in(served, "ada", mfaCode=code))
    assert "used before" in why(await sign_in(served, "ada", PASSWORD + code))
    behind = await sign_in(served, "ada", PASSWORD + authenticator.code())
    assert behind.status_code == 200, behind.text
    assert why(await sign_in(served, "ada", "wrong", mfaCode=authenticator.code())) == "Bad credentials"
    refreshed = await ask_token(served, grant_type="refresh_token", refresh_token=good.json()["refresh_token"])
    assert payload_of(refreshed.json()["access_token"])["amr"] == ["mfa"]
    async with served.client(refreshed.json()["access_token"]) as http:
        assert (await http.get(MINE)).json() == {
            "enrolled": True,
            "recovery_codes_left": 10,
            "signed_in_with_it": True,
        }


async def test_a_password_that_ends_in_six_digits_is_told_apart_from_a_code_behind_it(served: Served) -> None:
    password = PASSWORD + "-123456"
    ada = await served.make_user("ada")
    authenticator, _ = await enrol(served, "ada")
    async with await served.admin() as http:
        assert (await http.put(f"/Users/{ada}/password", json={"password": password})).status_code == 200
    assert "second factor is needed" in why(await sign_in(served, "ada", password))
    assert (await sign_in(served, "ada", password + authenticator.code())).status_code == 200
    assert why(await sign_in(served, "ada", PASSWORD + "-654321")) == "Bad credentials"


async def test_basic_with_a_code_behind_the_password_counts_once_too(served: Served) -> None:
    await served.make_user("ada")
    authenticator, _ = await enrol(served, "ada")
    auth = ("ada", PASSWORD + authenticator.code())
    async with httpx.AsyncClient(base_url=served.doors.url) as http:
        assert (await http.get(MINE, auth=("ada", PASSWORD))).status_code == 401
        assert (await http.get(MINE, auth=auth)).status_code == 200
        assert (await http.get(MINE, auth=auth)).status_code == 401


async def test_an_unconfirmed_factor_is_not_wanted_and_a_wrong_code_confirms_none(served: Served) -> None:
    await served.make_user("ada")
    async with await signed_in(served, "ada") as http:
        first = (await http.post(MINE)).json()["secret"]
        second = (await http.post(MINE)).json()
        assert second["uri"].startswith("otpauth://totp/paasd")
        assert (await http.post(f"{MINE}/actions/confirm", json={"code": "000000"})).status_code == 422
        stale = pyotp.TOTP(first).at(int(served.clock()))
        assert (await http.post(f"{MINE}/actions/confirm", json={"code": stale})).status_code == 422
    assert (await sign_in(served, "ada")).status_code == 200
    with served.context.database.read() as tx:
        [row] = tx.all(SecondFactor)
    assert second["secret"] not in row.sealed_secret


async def test_confirming_again_tells_nothing_of_a_code(served: Served) -> None:
    await served.make_user("ada")
    authenticator, _ = await enrol(served, "ada")
    async with await signed_in(served, "ada", mfaCode=authenticator.code()) as http:
        for code in ("000000", authenticator.code()):
            answer = await http.post(f"{MINE}/actions/confirm", json={"code": code})
            assert answer.status_code == 422 and "confirmed already" in answer.text, (code, answer.text)


async def test_guesses_of_the_first_code_wait_and_are_told_of_as_at_sign_in(tmp_path: Path) -> None:
    auth = msgspec.structs.replace(CHEAP_HASHES, login_failures=3, login_wait_s=60.0)
    async with serve(tmp_path, Config(api=ApiConfig(port=0), auth=auth)) as served:
        await served.make_user("ada")
        refused: list[str] = []
        served.auth.on_refused = lambda _address, username, why: refused.append(f"{username}: {why}")
        async with await signed_in(served, "ada") as http:
            authenticator = Authenticator(served, (await http.post(MINE)).json()["secret"])
            said = [await http.post(f"{MINE}/actions/confirm", json={"code": f"{number:06}"}) for number in range(4)]
            assert ["is wrong" in one.text for one in said] == [True] * 3 + [False]
            assert len(refused) == 4 and "code of the second factor is wrong" in refused[0]
            right = await http.post(f"{MINE}/actions/confirm", json={"code": authenticator.code()})
            assert right.status_code == 422 and "locked" in right.text
            served.clock.ahead_s += 61
            right = await http.post(f"{MINE}/actions/confirm", json={"code": authenticator.code()})
            assert right.status_code == 200, right.text


async def test_a_code_of_long_ago_is_refused_and_wrong_ones_lock_the_name(tmp_path: Path) -> None:
    auth = msgspec.structs.replace(CHEAP_HASHES, login_failures=3, login_wait_s=60.0)
    async with serve(tmp_path, Config(api=ApiConfig(port=0), auth=auth)) as served:
        await served.make_user("ada")
        authenticator, _ = await enrol(served, "ada")
        old = authenticator.code()
        served.clock.ahead_s += 90
        for code in (old, "000000", "99999x"):
            assert "wrong" in why(await sign_in(served, "ada", mfaCode=code))
        assert "locked" in why(await sign_in(served, "ada", mfaCode=authenticator.code()))
        served.clock.ahead_s += 61
        assert (await sign_in(served, "ada", mfaCode=authenticator.code())).status_code == 200


async def test_many_guesses_at_once_are_no_more_than_a_few(tmp_path: Path) -> None:
    auth = msgspec.structs.replace(CHEAP_HASHES, login_failures=3, login_wait_s=60.0)
    async with serve(tmp_path, Config(api=ApiConfig(port=0), auth=auth)) as served:
        await served.make_user("ada")
        await enrol(served, "ada")
        said: list[str] = []

        async def guess(number: int) -> None:
            said.append(why(await sign_in(served, "ada", mfaCode=f"{number:06}")))

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(guess, number)
    assert sum("used before" in one for one in said) == 3
    assert sum("locked" in one for one in said) == 17


async def test_who_is_signed_in_guesses_no_more_than_who_signs_in_and_guesses_write_nothing(tmp_path: Path) -> None:
    auth = msgspec.structs.replace(CHEAP_HASHES, login_failures=3, login_wait_s=60.0)
    async with serve(tmp_path, Config(api=ApiConfig(port=0), auth=auth)) as served:
        await served.make_user("ada")
        authenticator, codes = await enrol(served, "ada")
        async with await signed_in(served, "ada", mfaCode=authenticator.code()) as http:
            index = served.context.database.index
            said = []
            for guess in ("000000", "99999x", "nothing", authenticator.code(), codes[0]):
                for call in ("remove", "renew-recovery-codes"):
                    answer = await http.post(f"{MINE}/actions/{call}", json={"code": guess})
                    assert answer.status_code == 422
                    said.append(answer.json()["errors"][0]["detail"])
            assert ["used before" in one for one in said] == [True] * 3 + [False] * 7
            assert all("locked" in one for one in said[3:])
            assert "locked" in why(await sign_in(served, "ada", mfaCode=codes[0]))
            assert served.context.database.index == index
            served.clock.ahead_s += 61
            right = await http.post(f"{MINE}/actions/remove", json={"code": codes[0]})
            assert right.status_code == 204, right.text
        assert "127.0.0.1" in [one["data"]["address"] for one in await events(served, "audit.user.sign_in")]


async def test_the_same_request_again_with_its_key_is_no_second_sign_in(served: Served) -> None:
    await served.make_user("ada")
    authenticator, codes = await enrol(served, "ada")
    async with httpx.AsyncClient(base_url=served.doors.url, auth=("cf", "")) as http:
        for code in (authenticator.code(), codes[0]):
            form = {"grant_type": "password", "username": "ada", "password": PASSWORD, "mfaCode": code}
            key = {"Idempotency-Key": f"key-{code}"}
            assert (await http.post("/oauth/token", data=form, headers=key)).status_code == 200
            assert "used before" in why(await http.post("/oauth/token", data=form, headers=key))


async def test_a_recovery_code_counts_once_and_new_ones_end_the_old(served: Served) -> None:
    await served.make_user("ada")
    authenticator, codes = await enrol(served, "ada")
    assert len(set(codes)) == 10
    assert (await sign_in(served, "ada", mfaCode=codes[0].upper().replace("-", " "))).status_code == 200
    assert "used before" in why(await sign_in(served, "ada", mfaCode=codes[0]))
    async with await signed_in(served, "ada", mfaCode=codes[1]) as http:
        assert (await http.get(MINE)).json()["recovery_codes_left"] == 8
        renew = f"{MINE}/actions/renew-recovery-codes"
        assert (await http.post(renew, json={"code": codes[0]})).status_code == 422
        new = (await http.post(renew, json={"code": authenticator.code()})).json()["recovery_codes"]
    assert (await sign_in(served, "ada", mfaCode=codes[2])).status_code == 401
    assert (await sign_in(served, "ada", mfaCode=new[0])).status_code == 200
    with served.context.database.read() as tx:
        [row] = tx.all(SecondFactor)
    assert not any(code in str(row) for code in (*codes, *new))


async def test_its_owner_takes_it_away_with_a_code_and_an_administrator_resets_it(served: Served) -> None:
    for name in ("ada", "bob"):
        await served.make_user(name)
    authenticator, _ = await enrol(served, "ada")
    token = (await sign_in(served, "ada", mfaCode=authenticator.code())).json()["access_token"]
    async with await signed_in(served, "bob") as http:
        assert (await http.delete("/paasd/v1/users/ada/second-factor")).status_code == 403
    async with await served.admin() as http:
        assert (await http.delete("/paasd/v1/users/nobody/second-factor")).status_code == 404
        assert (await http.delete("/paasd/v1/users/ada/second-factor")).status_code == 204
        assert (await http.delete("/paasd/v1/users/ada/second-factor")).status_code == 404
    async with served.client(token) as http:
        assert (await http.get(MINE)).status_code == 401
    assert (await sign_in(served, "ada")).status_code == 200
    again, _ = await enrol(served, "ada")
    async with await signed_in(served, "ada", mfaCode=again.code()) as http:
        assert (await http.post(f"{MINE}/actions/remove", json={"code": "000000"})).status_code == 422
        assert (await http.post(f"{MINE}/actions/remove", json={"code": again.code()})).status_code == 204
    assert (await sign_in(served, "ada")).status_code == 200
    [reset] = await events(served, "audit.user.second_factor_reset")
    assert (reset["actor"]["name"], reset["target"]["name"]) == ("admin", "ada")
    assert len(await events(served, "audit.user.second_factor_confirm")) == 2
    assert len(await events(served, "audit.user.second_factor_remove")) == 1


async def test_an_organization_that_demands_a_factor_is_not_there_without_it(served: Served) -> None:
    place, other = await make_place(served), await make_place(served, "plain", "prod")
    member = await make_member(served, "ada", place, "organization_manager", "space_developer")
    authenticator, _ = await enrol(served, "ada")
    await make_member(served, "bob", place, "organization_manager", "space_developer")
    async with await signed_in(served, "bob") as http:
        refused = await http.put(DEMAND, json={"demanded": True})
        assert (refused.status_code, "second factor first" in refused.text) == (422, True)
        assert (await http.get(f"/v3/spaces/{place[1]}")).status_code == 200
        async with await signed_in(served, "ada", mfaCode=authenticator.code()) as manager:
            assert (await manager.put(DEMAND, json={"demanded": True})).json() == {"demanded": True}
            assert names_of(await manager.get("/v3/organizations")) == ["acme"]
        # Bob's token is older than the switch.
        hidden = await http.get("/v3/organizations")
        assert names_of(hidden) == []
        assert "second-factor%20enrol" in hidden.headers["X-Cf-Warnings"]
        for path in (
            f"/v3/organizations/{place[0]}",
            f"/v3/spaces/{place[1]}",
            f"/v3/organizations/{place[0]}/users",
            f"/v3/users/{member}",
            "/paasd/v1/spaces/acme/prod/apps",
            DEMAND,
        ):
            assert (await http.get(path)).status_code == 404, path
        for path in ("/v3/spaces", "/v3/apps", "/v3/routes", "/v3/audit_events"):
            assert (await http.get(path)).json()["pagination"]["total_results"] == 0, path
        space = {"space": {"data": {"guid": place[1]}}}
        made = await http.post("/v3/apps", json={"name": "web", "relationships": space})
        assert made.status_code == 422
        assert (await http.post("/paasd/v1/spaces/acme/prod/deploy-tokens", json={"name": "x"})).status_code == 404
    # What another organization demands is no matter of this one.
    await make_member(served, "eve", other, "space_developer")
    async with await signed_in(served, "eve") as http:
        seen = await http.get("/v3/organizations")
        assert names_of(seen) == ["plain"]
        assert "X-Cf-Warnings" not in seen.headers
    phone, _ = await enrol(served, "bob")
    async with await signed_in(served, "bob", mfaCode=phone.code()) as http:
        assert names_of(await http.get("/v3/organizations")) == ["acme"]
        assert (await http.put(DEMAND, json={"demanded": False})).status_code == 200
    assert [one["data"] for one in await events(served, "audit.organization.second_factor")] == [
        {"demanded": True},
        {"demanded": False},
    ]


async def test_a_deploy_token_made_without_a_factor_does_not_count_where_one_is_demanded(served: Served) -> None:
    place = await make_place(served)
    await make_member(served, "ada", place, "organization_manager")
    tokens = "/paasd/v1/spaces/acme/prod/deploy-tokens"
    async with await signed_in(served, "ada") as http:
        without = (await http.post(tokens, json={"name": "without"})).json()["token"]
    authenticator, _ = await enrol(served, "ada")
    async with await signed_in(served, "ada", mfaCode=authenticator.code()) as http:
        with_ = (await http.post(tokens, json={"name": "with"})).json()["token"]
        assert (await http.put(DEMAND, json={"demanded": True})).status_code == 200
        problems = {one["name"]: one["problem"] for one in (await http.get(tokens)).json()["deploy_tokens"]}
    assert problems["with"] is None
    assert "demands a second factor" in problems["without"]
    for token, status in ((with_, 200), (without, 401)):
        async with served.client(token) as http:
            assert (await http.get("/paasd/v1/spaces/acme/prod/apps")).status_code == status


async def test_administrators_are_that_only_with_a_factor_where_the_platform_says_so(tmp_path: Path) -> None:
    auth = msgspec.structs.replace(CHEAP_HASHES, admins_need_second_factor=True)
    async with serve(tmp_path, Config(api=ApiConfig(port=0), auth=auth)) as served:
        async with await signed_in(served, "admin") as http:
            assert (await http.get("/paasd/v1/nodes")).status_code == 403
        authenticator, _ = await enrol(served, "admin")
        async with await signed_in(served, "admin", mfaCode=authenticator.code()) as http:
            assert (await http.get("/paasd/v1/nodes")).status_code == 200


async def test_who_only_has_a_token_makes_no_second_factor_of_theirs(served: Served) -> None:
    """They would shut the owner out, whose password is right."""
    await served.make_user("ada")
    async with await signed_in(served, "ada") as http:
        served.clock.ahead_s += 301
        refused = await http.post(MINE)
        assert refused.status_code == 422
        assert "Give your password" in refused.json()["errors"][0]["detail"]
        refused = await http.post(MINE, json={"password": "wrong"})
        assert refused.status_code == 422
        assert "incorrect" in refused.json()["errors"][0]["detail"]
        with served.context.database.read() as tx:
            assert tx.all(SecondFactor) == []
        assert (await http.post(MINE, json={"password": PASSWORD})).status_code == 201


async def test_guesses_at_the_password_of_a_stolen_session_have_to_wait(tmp_path: Path) -> None:
    auth = msgspec.structs.replace(CHEAP_HASHES, login_failures=3, login_wait_s=60.0)
    async with serve(tmp_path, Config(api=ApiConfig(port=0), auth=auth)) as served:
        await served.make_user("ada")
        async with await signed_in(served, "ada") as http:
            served.clock.ahead_s += 301
            for _ in range(3):
                assert (await http.post(MINE, json={"password": "wrong"})).status_code == 422
            waits = await http.post(MINE, json={"password": PASSWORD})
            assert "locked" in waits.json()["errors"][0]["detail"]


async def test_refreshing_makes_no_session_fresh_and_the_password_in_basic_is_one(served: Served) -> None:
    await served.make_user("ada")
    token = (await served.login("ada"))["refresh_token"]
    served.clock.ahead_s += 301
    reply = (await ask_token(served, grant_type="refresh_token", refresh_token=token)).json()
    async with served.client(reply["access_token"]) as http:
        assert (await http.post(MINE)).status_code == 422
    async with served.client(auth=("ada", PASSWORD)) as http:
        assert (await http.post(MINE)).status_code == 201
