"""Invitations, from the call that makes one over the mail to the roles of who accepts."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from email import message_from_bytes
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiosmtpd.controller import Controller

from paasd.actions.invitations import LIFE_S
from paasd.actions.mailing import ADDRESS_PER_H, ORGANIZATION_PER_H, Postage
from paasd.config import ApiConfig, Config, MailConfig
from paasd.model.arguments import SYSTEM
from paasd.model.invitations import ROLES_LIMIT
from paasd.model.organizations import CreateOrganization, create_organization
from paasd.model.roles import SPACE_ROLES, CreateRole, create_role
from paasd.model.spaces import CreateSpace, create_space
from tests.api.serving import CHEAP_HASHES, PASSWORD, Served, serve
from tests.cli.typing_hands import paasd

BASE = "/paasd/v1/organizations/acme/invitations"
ACCEPT = "/paasd/v1/invitations/accept"


async def make_manager(served: Served, name: str = "boss") -> httpx.AsyncClient:
    """A manager of the new organization acme with its space prod."""
    database = served.context.database
    guid = await served.make_user(name)
    organization = await database.write(create_organization, CreateOrganization(name="acme", actor=SYSTEM))
    await database.write(create_space, CreateSpace(name="prod", organization_guid=organization.guid, actor=SYSTEM))
    for role in ("organization_user", "organization_manager"):
        wanted = CreateRole(type=role, user_guid=guid, organization_guid=organization.guid, actor=SYSTEM)
        await database.write(create_role, wanted)
    return served.client((await served.login(name))["access_token"])


async def invite(http: httpx.AsyncClient, address: str = "ann@example.org", **more: Any) -> dict[str, Any]:
    """An invitation to develop in prod and to audit acme."""
    body = {
        "address": address,
        "organization_roles": ["organization_auditor"],
        "spaces": {"prod": ["space_developer"]},
        **more,
    }
    answer = await http.post(BASE, json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def opened(served: Served, made: dict[str, Any]) -> str:
    """Where the link leads behind the router; it is for others, so never on the name that the inviter came by."""
    assert served.doors.url not in made["link"]
    public, path = made["link"].split("/invitation", 1)
    assert public.startswith("https://login.system.localhost"), made["link"]
    return f"{served.doors.url}/invitation{path}"


async def roles_of(http: httpx.AsyncClient, name: str) -> set[str]:
    """Types of somebody's roles, as the client sees them."""
    users = (await http.get(f"/v3/users?usernames={name}")).json()["resources"]
    if not users:
        return set()
    found = (await http.get(f"/v3/roles?user_guids={users[0]['guid']}")).json()["resources"]
    return {one["type"] for one in found}


def form(made: dict[str, Any], **more: str) -> dict[str, Any]:
    return {"data": {"secret": made["secret"], "username": "ann", "password": PASSWORD, **more}}


async def test_who_has_no_account_chooses_a_password_and_has_the_roles_that_were_offered(served: Served) -> None:
    async with await make_manager(served) as boss, await served.admin() as admin, httpx.AsyncClient() as browser:
        made = await invite(admin, "ann")
        shown = await browser.get(opened(served, made))
        assert (shown.status_code, "admin invites you" in shown.text) == (200, True)
        weak = await browser.post(opened(served, made), **form(made, password="short"))
        assert (weak.status_code, "password" in weak.text) == (422, True)
        other = await browser.post(opened(served, made), **form(made, username="ceo@example.org"))
        assert (other.status_code, "has to be ann" in other.text) == (422, True)
        assert await roles_of(boss, "ann") == set()
        done = await browser.post(opened(served, made), **form(made))
        assert done.status_code == 200, done.text
        assert await roles_of(boss, "ann") == {"organization_user", "organization_auditor", "space_developer"}
        async with served.client((await served.login("ann"))["access_token"]) as ann:
            assert [one["name"] for one in (await ann.get("/v3/spaces")).json()["resources"]] == ["prod"]
        again = await browser.post(opened(served, made), **form(made, username="eve"))
        assert (again.status_code, "not valid (any more)" in again.text) == (404, True)
        assert served.auth.find_user("eve") is None
        assert (await boss.get(BASE)).json() == {"invitations": []}


@pytest.mark.parametrize("address", ["ceo", "ceo@example.org"])
async def test_a_manager_reserves_nobody_s_name_and_learns_not_whether_it_is_taken(
    served: Served, address: str
) -> None:
    """Names count on the whole platform: somebody else's organization may be about to give roles to this one."""
    async with await make_manager(served) as boss, await served.admin() as admin, httpx.AsyncClient() as browser:
        heard = []
        for taken in (False, True):
            if taken:
                await served.make_user(address)
            made = await invite(boss, address)
            shown = await browser.get(opened(served, made))
            assert ("<form" in shown.text, "paasd invite accept" in shown.text) == (False, True)
            for name in (address, "ann"):
                refused = await browser.post(opened(served, made), **form(made, username=name))
                assert (refused.status_code, "makes no account" in refused.text) == (422, True), refused.text
                heard.append((made["mail_problem"], refused.text.replace(made["secret"], "")))
        assert len(heard) == 4, "what is said of a name that is free and of one that is taken"
        assert set(heard) == {heard[0]}
        assert "with an account" in made["mail_problem"]
        assert served.auth.find_user("ann") is None
        made = await invite(admin, "new@example.org")
        assert (await browser.post(opened(served, made), **form(made, username="new@example.org"))).status_code == 200


async def test_an_invitation_to_a_user_name_is_for_the_account_of_that_name(served: Served) -> None:
    async with await make_manager(served) as boss:
        await served.make_user("ann")
        await served.make_user("eve")
        made = await invite(boss, "eve")
        async with await signed_in(served, "ann") as ann:
            refused = await ann.post(ACCEPT, json={"secret": made["secret"]})
            assert (refused.status_code, "for the account 'eve'" in refused.text) == (422, True)
        async with await signed_in(served, "eve") as eve:
            assert (await eve.post(ACCEPT, json={"secret": made["secret"]})).status_code == 200


async def test_who_has_an_account_accepts_with_it_on_the_command_line(served: Served) -> None:
    async with await make_manager(served) as boss:
        await served.make_user("ann")
        me = {"PAASD_API": served.doors.url, "PAASD_SPACE": "acme/prod", "PAASD_PASSWORD": PASSWORD}
        made = await paasd(
            "invite", "create", "ann", "--role", "supporter", "--org-role", "auditor", PAASD_USER="boss", **me
        )
        assert (made.code, "the address is a user name" in made.err or "no mail server" in made.err) == (0, True), made
        listed = await paasd("invite", "list", PAASD_USER="boss", **me)
        assert (listed.code, "prod: space_supporter" in listed.out) == (0, True), listed
        link = made.out.strip()
        took = await paasd("invite", "accept", link, PAASD_USER="ann", **me)
        assert (took.code, took.out) == (0, "ann is in acme now.\n"), took
        assert await roles_of(boss, "ann") == {"organization_user", "organization_auditor", "space_supporter"}
        again = await paasd("invite", "accept", link, PAASD_USER="ann", **me)
        assert (again.code, "was used, revoked or has expired" in again.err) == (1, True), again


async def test_it_counts_no_more_when_revoked_expired_replaced_or_its_maker_is_no_manager(served: Served) -> None:
    await served.make_user("ann")
    async with await make_manager(served) as boss:
        revoked, replaced = await invite(boss, "first@example.org"), await invite(boss, "second@example.org")
        kept = await invite(boss, "second@example.org")
        assert (await boss.delete(f"{BASE}/first@example.org")).status_code == 204
        assert [await accepted(served, made) for made in (revoked, replaced)] == [422, 422]
    served.clock.ahead_s += LIFE_S + 5
    assert await accepted(served, kept) == 422
    async with await signed_in(served, "boss") as boss, await served.admin() as admin:
        mine = await invite(boss, "third@example.org")
        successor = grant(await guid_of(admin, "ann"), await organization(admin))
        assert (await admin.post("/v3/roles", json=successor)).status_code == 201
        query = f"types=organization_manager&user_guids={await guid_of(admin, 'boss')}"
        role = (await admin.get(f"/v3/roles?{query}")).json()["resources"][0]["guid"]
        assert (await admin.delete(f"/v3/roles/{role}")).status_code == 202
    assert await accepted(served, mine) == 422


async def signed_in(served: Served, name: str) -> httpx.AsyncClient:
    return served.client((await served.login(name))["access_token"])


async def accepted(served: Served, made: dict[str, Any]) -> int:
    """The answer to ann, who shows the secret."""
    async with await signed_in(served, "ann") as ann:
        answer = await ann.post(ACCEPT, json={"secret": made["secret"]})
        assert answer.is_success or "Ask whoever invited you" in answer.text
        return answer.status_code


async def organization(http: httpx.AsyncClient) -> str:
    return str((await http.get("/v3/organizations?names=acme")).json()["resources"][0]["guid"])


async def guid_of(http: httpx.AsyncClient, name: str) -> str:
    return str((await http.get(f"/v3/users?usernames={name}")).json()["resources"][0]["guid"])


def grant(user: str, place: str) -> dict[str, Any]:
    relations = {"user": {"data": {"guid": user}}, "organization": {"data": {"guid": place}}}
    return {"type": "organization_manager", "relationships": relations}


async def test_only_managers_and_administrators_invite_and_nothing_shows_the_secret_again(served: Served) -> None:
    async with await make_manager(served) as boss, await served.admin() as admin:
        made = await invite(boss)
        assert made["secret"] not in (await boss.get(BASE)).text
        events = (await boss.get("/v3/audit_events?types=audit.invitation.create")).json()["resources"]
        assert [one["target"]["name"] for one in events] == ["ann@example.org"]
        assert made["secret"] not in str(events)
        assert (await invite(admin, "bob@example.org"))["invited_by"] == "admin"
        async with httpx.AsyncClient() as browser:
            made = await invite(admin, "ann")
            assert (await browser.post(opened(served, made), **form(made))).status_code == 200
        async with served.client((await served.login("ann"))["access_token"]) as ann:
            assert (await ann.get(BASE)).status_code == 403
            assert (await ann.post(BASE, json={"address": "eve"})).status_code == 403
            assert (await ann.delete(f"{BASE}/bob@example.org")).status_code == 403


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"address": "a b"}, "e-mail address or a user name"),
        ({"address": "a\r\nBcc: x@y"}, "e-mail address or a user name"),
        ({"address": "a", "organization_roles": ["king"]}, "roles are organization_user"),
        ({"address": "a", "spaces": {"prod": ["organization_manager"]}}, "roles are space_developer"),
        ({"address": "a", "spaces": {"nowhere": []}}, "create-space"),
        ({"address": "a", "life_s": 1}, "30 days"),
    ],
)
async def test_what_cannot_be_offered_is_refused_with_what_can(served: Served, body: Any, words: str) -> None:
    async with await make_manager(served) as boss:
        answer = await boss.post(BASE, json=body)
        assert (answer.status_code, words in answer.text) == (422, True), answer.text


def test_an_organization_sends_so_many_whomever_it_writes_to() -> None:
    postage = Postage()
    sent = [postage.refusal("one", f"{number}@example.org", 0) for number in range(ORGANIZATION_PER_H + 1)]
    assert [why for why in sent[:-1] if why] == []
    assert "The organization sent" in (sent[-1] or "")
    assert postage.refusal("two", "0@example.org", 0) is None, "others have their own"


class Mailbox:
    """Takes mail as an SMTP server does."""

    def __init__(self) -> None:
        self.taken: list[Any] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.taken.append(message_from_bytes(envelope.content))
        return "250 taken"


@contextmanager
def mail_server() -> Iterator[tuple[int, Mailbox]]:
    """One on a port of its own, and what it was given; it is gone at the end."""
    mailbox = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Controller(mailbox, hostname="127.0.0.1", port=port)
    server.start()
    try:
        yield port, mailbox
    finally:
        server.stop()


async def test_the_link_is_mailed_and_a_server_that_is_away_is_said(tmp_path: Path) -> None:
    with ExitStack() as running:
        port, mailbox = running.enter_context(mail_server())
        mail = MailConfig(host="127.0.0.1", port=port, security="none", sender="paasd@example.org", timeout_s=5)
        config = Config(api=ApiConfig(port=0, grace_s=1.0), auth=CHEAP_HASHES, mail=mail)
        async with serve(tmp_path, config) as served, await make_manager(served) as boss:
            made = await invite(boss)
            assert (made["sent"], made["mail_problem"]) == (True, None)
            [letter] = mailbox.taken
            assert (letter["To"], letter["From"]) == ("ann@example.org", "paasd@example.org")
            assert made["link"] is made["secret"] is None, "it proves the address, so nobody else may have it"
            text = letter.get_payload(decode=True).decode()
            secret = text.split("?secret=")[1].split()[0]
            url = f"{served.doors.url}/invitation?secret={secret}"
            async with httpx.AsyncClient() as browser:
                assert 'value="ann@example.org"' in (await browser.get(url)).text
                data = {"secret": secret, "username": "ceo@example.org", "password": PASSWORD}
                refused = await browser.post(url, data=data)
                assert (refused.status_code, "has to be ann@example.org" in refused.text) == (422, True)
                done = await browser.post(url, data={**data, "username": "Ann@example.org"})
                assert done.status_code == 200, done.text
            made = await invite(boss)
            assert [one["sent"] for one in (await boss.get(BASE)).json()["invitations"]] == [True]
            by_name = await invite(boss, "ann")
            assert (by_name["sent"], len(mailbox.taken)) == (False, 2)
            await invite(boss)
            flood = await boss.post(BASE, json={"address": "Ann@example.org"})
            assert (flood.status_code, "within an hour" in flood.text, len(mailbox.taken)) == (422, True, 3)
            running.close()
            away = await invite(boss, "bob@example.org")
            assert away["sent"] is False
            assert f"127.0.0.1:{port} did not take it" in away["mail_problem"]
            served.clock.ahead_s += 3600 / ADDRESS_PER_H + 1
            async with await signed_in(served, "boss") as later:
                assert (await later.post(BASE, json={"address": "ann@example.org"})).status_code == 201


async def test_what_one_invitation_may_give_at_most_can_be_accepted_at_once(served: Served) -> None:
    """With the longest names; one role more is refused when it is offered."""
    types = list(SPACE_ROLES)
    names = [f"{number:03}" + "\U0001f680" * 252 for number in range(ROLES_LIMIT // len(types) + 1)]
    async with await make_manager(served, "boss" * 60) as boss:
        [organization] = (await boss.get("/v3/organizations")).json()["resources"]
        for name in names:
            wanted = CreateSpace(name=name, organization_guid=organization["guid"], actor=SYSTEM)
            await served.context.database.write(create_space, wanted)
        address = "a" * 60 + "@example.org"
        guid = await served.make_user(address)
        spaces = dict.fromkeys(names[:-1], types)
        refused = await boss.post(BASE, json={"address": address, "spaces": {**spaces, names[-1]: types[:1]}})
        assert (refused.status_code, "at most 200 roles" in refused.text) == (422, True), refused.text
        made = await invite(boss, address, organization_roles=[], spaces=spaces)
        async with served.client((await served.login(address))["access_token"]) as ann:
            answer = await ann.post(ACCEPT, json={"secret": made["secret"]})
            assert answer.status_code in {200, 201, 204}, answer.text
            granted = (await ann.get(f"/v3/roles?user_guids={guid}&per_page=1")).json()["pagination"]["total_results"]
            assert granted == ROLES_LIMIT + 1, "and that of the organization"
