"""Codes for ssh and who gets in by them, without any ssh; tests/ssh has clients that speak it."""

import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import pytest
import trio

from paasd.actions.ssh import Admitted, Refused, Wrong, check_still, enter
from paasd.auth.host_keys import fingerprint, keep_host_keys
from paasd.config import ApiConfig, Config, SshConfig
from paasd.model import SshCode, SshHostKey
from paasd.model.arguments import SYSTEM
from paasd.model.users import EndSessions, sign_out
from paasd.observed import InstanceFact
from paasd.state import Faults, MemoryLog
from tests.api.serving import CHEAP_HASHES, Served, serve
from tests.api.sign_in import make_member, make_place, signed_in
from tests.api.tenants import Tenant, make_tenant

ASKED = {"client_id": "ssh-proxy", "response_type": "code"}


async def ask(http: httpx.AsyncClient, prefix: str = "/uaa", **changes: str) -> httpx.Response:
    return await http.get(f"{prefix}/oauth/authorize", params={**ASKED, **changes})


async def code_of(http: httpx.AsyncClient) -> str:
    answer = await ask(http)
    assert answer.status_code == 302, answer.text
    return parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]


async def come(served: Served, target: str, code: str) -> Admitted | str:
    """Who is in, or why not."""
    try:
        return await enter(
            served.context, served.auth, target, code, "192.0.2.7", "connection", lambda _caller, _place: None
        )
    except Wrong as wrong:
        return f"wrong: {wrong.detail}"
    except Refused as refused:
        return refused.detail


async def running(served: Served, tenant: Tenant) -> str:
    """The user name of a running instance."""
    app = await tenant.started_app(served, "app")
    row = await tenant.instance(served, app)
    fact = InstanceFact(
        instance_guid=row.guid,
        epoch=row.epoch,
        node_guid="node",
        app_guid=app,
        process_guid=row.process_guid,
        process_type="web",
        index=0,
        state="RUNNING",
        since=0.0,
    )
    served.context.observed.put(fact)
    return f"cf:{row.process_guid}/0"


async def test_a_code_is_given_as_cf_ssh_asks_for_it_and_kept_as_a_hash(served: Served) -> None:
    tenant = await make_tenant(served, "acme")
    async with tenant.client("developer") as http:
        answer = await ask(http, prefix="")
        assert (answer.status_code, answer.headers["Cache-Control"]) == (302, "no-store")
        code = await code_of(http)
        assert re.fullmatch(r"(?:[a-z0-9]{4}-){3}[a-z0-9]{4}", code)
        assert (await ask(http, client_id="cf")).status_code == 401
        assert (await ask(http, response_type="token")).status_code == 400
        reads = (await http.get("/")).json()["links"]["app_ssh"]
        assert reads is None  # nothing listens here
    with served.context.database.read() as tx:
        rows = tx.all(SshCode)
    assert len(rows) == 2
    assert code not in str(rows)
    async with httpx.AsyncClient(base_url=served.doors.url) as nobody:
        assert (await ask(nobody)).status_code == 401


async def test_a_code_lets_its_owner_in_once_and_says_so_in_the_audit(served: Served) -> None:
    tenant = await make_tenant(served, "acme")
    target = await running(served, tenant)
    async with tenant.client("developer") as http:
        code = await code_of(http)
        found = await come(served, target, code)
        assert isinstance(found, Admitted)
        assert (found.place.index, found.place.process_type, found.place.node_guid) == (0, "web", "node")
        assert str(await come(served, target, code)).startswith("wrong: ")
        assert (
            await come(served, "cf:nonsense", await code_of(http))
            == "There is no such app, or you have no role in its space"
        )
        assert "The user name is cf:PROCESS-GUID/INDEX" in str(await come(served, "root", await code_of(http)))
        events = (await http.get("/v3/audit_events", params={"target_guids": found.place.app_guid})).json()["resources"]
    [event] = [one for one in events if "ssh" in one["type"]]
    assert event["type"] == "audit.app.ssh-authorized"
    assert event["data"]["instance"] == found.place.instance_guid
    with served.context.database.read() as tx:
        assert tx.all(SshCode) == []


async def test_a_code_dies_with_its_time_the_sessions_of_its_owner_and_the_owner(served: Served) -> None:
    tenant = await make_tenant(served, "acme")
    target = await running(served, tenant)
    place = (tenant.organization, tenant.space)
    guid = await make_member(served, "dev", place, "space_developer")
    async with await signed_in(served, "dev") as http:
        late, over = await code_of(http), await code_of(http)
        found = await come(served, target, await code_of(http))
        assert isinstance(found, Admitted)
        await served.context.database.write(sign_out, EndSessions(user_guid=guid, actor=SYSTEM))
        with pytest.raises(Refused, match="You were signed out"):
            check_still(served.context, served.auth, found)
        assert str(await come(served, target, over)).startswith("wrong: ")
    async with await signed_in(served, "dev") as http:
        late = await code_of(http)
        served.clock.ahead_s = SshConfig().code_s + 1
        assert str(await come(served, target, late)).startswith("wrong: ")


async def test_only_developers_get_in_and_strangers_learn_nothing(served: Served) -> None:
    tenant, other = await make_tenant(served, "acme"), await make_tenant(served, "globex")
    target = await running(served, tenant)
    told: dict[str, Any] = {}
    for kind in ("manager", "billing", "auditor", "developer", "supporter"):
        async with tenant.client(kind) as http:
            told[kind] = await come(served, target, await code_of(http))
    unseen, only = (
        "There is no such app, or you have no role in its space",
        "Only developers of the space get into its instances",
    )
    assert isinstance(told.pop("developer"), Admitted)
    assert told == {"manager": only, "billing": unseen, "auditor": unseen, "supporter": only}
    async with other.client("developer") as http:
        assert await come(served, target, await code_of(http)) == unseen
        assert await come(served, target.replace("acme", "nobody"), await code_of(http)) == unseen
    async with await served.admin() as admin:
        events = (await admin.get("/v3/audit_events", params={"per_page": 500})).json()["resources"]
        assert isinstance(await come(served, target, await code_of(admin)), Admitted)
    found = [(one["type"], one["organization"] is None) for one in events if "ssh-un" in one["type"]]
    assert sorted(found) == [("audit.app.ssh-unauthorized", False)] * 2 + [("audit.user.ssh-unauthorized", True)] * 4


async def test_switches_roles_and_suspension_end_the_right_to_stay(served: Served) -> None:
    tenant = await make_tenant(served, "acme")
    target = await running(served, tenant)
    async with tenant.client("developer") as http, await served.admin() as admin:
        found = await come(served, target, await code_of(http))
        assert isinstance(found, Admitted)
        check_still(served.context, served.auth, found)
        for path, off, on, why in (
            (
                f"/v3/apps/{found.place.app_guid}/features/ssh",
                {"enabled": False},
                {"enabled": True},
                "disabled for app",
            ),
            (f"/v3/spaces/{tenant.space}/features/ssh", {"enabled": False}, {"enabled": True}, "disabled for space"),
            ("/paasd/v1/organizations/acme/ssh", {"allowed": False}, {"allowed": None}, "disabled for organization"),
            (f"/v3/organizations/{tenant.organization}", {"suspended": True}, {"suspended": False}, "suspended"),
        ):
            assert (await admin.patch(path, json=off)).status_code == 200
            with pytest.raises(Refused, match=why):
                check_still(served.context, served.auth, found)
            assert why in str(await come(served, target, await code_of(http)))
            assert (await admin.patch(path, json=on)).status_code == 200
            check_still(served.context, served.auth, found)
        roles = (await admin.get("/v3/roles", params={"types": "space_developer", "space_guids": tenant.space})).json()
        for role in roles["resources"]:
            await admin.delete(f"/v3/roles/{role['guid']}")
        with pytest.raises(Refused):
            check_still(served.context, served.auth, found)


async def test_only_managers_switch_an_organization(served: Served) -> None:
    tenant = await make_tenant(served, "acme")
    path = "/paasd/v1/organizations/acme/ssh"
    async with tenant.client("manager") as manager, tenant.client("developer") as developer:
        assert (await developer.get(path)).json() == {"allowed": None, "effective": True}
        assert (await developer.patch(path, json={"allowed": False})).status_code == 403
        assert (await manager.patch(path, json={"allowed": "no"})).status_code == 422
        assert (await manager.patch(path, json={"allowed": False})).json() == {"allowed": False, "effective": False}
        assert (await manager.patch(path, json={"allowed": False})).status_code == 200
        events = (await manager.get("/v3/audit_events", params={"types": "audit.organization.ssh"})).json()["resources"]
    assert [one["data"]["allowed"] for one in events] == [{"before": None, "after": False}]


async def test_the_platform_may_forbid_what_nobody_allows(tmp_path: Path) -> None:
    config = Config(api=ApiConfig(port=0, grace_s=1.0), auth=CHEAP_HASHES, ssh=SshConfig(allowed_by_default=False))
    async with serve(tmp_path, config) as served:
        tenant = await make_tenant(served, "acme")
        target = await running(served, tenant)
        async with tenant.client("developer") as http, tenant.client("manager") as manager:
            assert "disabled for organization" in str(await come(served, target, await code_of(http)))
            await manager.patch("/paasd/v1/organizations/acme/ssh", json={"allowed": True})
            assert isinstance(await come(served, target, await code_of(http)), Admitted)


async def test_tokens_that_only_read_give_no_code_and_a_deploy_token_ends_its_own(served: Served) -> None:
    place = await make_place(served)
    await make_member(served, "dev", place, "space_developer")
    async with await signed_in(served, "dev", scope="cloud_controller.read") as reads:
        answer = await ask(reads)
        assert (answer.status_code, answer.json()["error"]) == (403, "insufficient_scope")
    async with await served.admin() as admin:
        made = (await admin.post("/paasd/v1/spaces/acme/prod/deploy-tokens", json={"name": "ci"})).json()
        client_id, _, secret = made["token"].partition(".")
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
        async with httpx.AsyncClient(base_url=served.doors.url) as http:
            token = (await http.post("/oauth/token", data=form)).json()["access_token"]
        async with served.client(token) as pipeline:
            first, second = await code_of(pipeline), await code_of(pipeline)
        assert not str(await come(served, "cf:none/0", first)).startswith("wrong")
        await admin.delete("/paasd/v1/spaces/acme/prod/deploy-tokens/ci")
        assert str(await come(served, "cf:none/0", second)).startswith("wrong")


async def test_of_two_nodes_that_are_shown_a_code_at_once_one_takes_it(tmp_path: Path) -> None:
    log = MemoryLog(1, Faults(delay_s=0.02))
    config = Config(api=ApiConfig(port=0, grace_s=1.0), auth=CHEAP_HASHES)
    async with serve(tmp_path / "one", config, log=log.client()) as one:
        (tmp_path / "two").mkdir(mode=0o700)
        shutil.copy2(tmp_path / "one" / "root-key", tmp_path / "two" / "root-key")
        async with serve(tmp_path / "two", config, log=log.client()) as two:
            await one.make_user("ada")
            async with await signed_in(one, "ada") as http:
                code = await code_of(http)
            found: list[str] = []

            async def show(served: Served) -> None:
                found.append(str(await come(served, "cf:none/0", code))[:5])

            async with trio.open_nursery() as nursery:
                nursery.start_soon(show, one)
                nursery.start_soon(show, two)
            assert sorted(found) == ["There", "wrong"]
            keys = [await keep_host_keys(served.context.database, served.context.sealer) for served in (one, two)]  # type: ignore[arg-type]
            assert keys[0] == keys[1]
            with two.context.database.read() as tx:
                [row] = tx.all(SshHostKey)
    assert b"PRIVATE KEY" in keys[0][0].private
    assert "PRIVATE" not in str(msgspec.to_builtins(row))
    assert re.fullmatch(r"[A-Za-z0-9+/]{43}", fingerprint(row.public_key))
