"""What tests of signing in share: people with roles, authenticators, and the calls of the token endpoint."""

from typing import Any

import httpx
import pyotp

from paasd.model.arguments import SYSTEM
from paasd.model.organizations import CreateOrganization, create_organization
from paasd.model.roles import CreateRole, create_role
from paasd.model.spaces import CreateSpace, create_space
from tests.api.serving import PASSWORD, Served


async def make_place(served: Served, organization: str = "acme", space: str = "prod") -> tuple[str, str]:
    """Guids of a new organization and space."""
    made = await served.context.database.write(create_organization, CreateOrganization(name=organization, actor=SYSTEM))
    within = CreateSpace(name=space, organization_guid=made.guid, actor=SYSTEM)
    return made.guid, (await served.context.database.write(create_space, within)).guid


async def make_member(served: Served, name: str, place: tuple[str, str], *roles: str) -> str:
    """A user with these roles in the place; its guid."""
    guid = await served.make_user(name)
    for role in dict.fromkeys(("organization_user", *roles)):
        where = {"space_guid": place[1]} if role.startswith("space_") else {"organization_guid": place[0]}
        await served.context.database.write(create_role, CreateRole(type=role, user_guid=guid, actor=SYSTEM, **where))
    return guid


async def ask_token(served: Served, **form: str) -> httpx.Response:
    """`POST /oauth/token` as the CLI, or as the client that the form names."""
    async with httpx.AsyncClient(base_url=served.doors.url) as http:
        auth = None if "client_id" in form else ("cf", "")
        return await http.post("/oauth/token", data=form, auth=auth)


async def sign_in(served: Served, name: str, password: str = PASSWORD, **more: str) -> httpx.Response:
    """By password."""
    return await ask_token(served, grant_type="password", username=name, password=password, **more)


async def signed_in(served: Served, name: str, password: str = PASSWORD, **more: str) -> httpx.AsyncClient:
    """A client with somebody's token."""
    answer = await sign_in(served, name, password, **more)
    assert answer.status_code == 200, answer.text
    return served.client(answer.json()["access_token"])


class Authenticator:
    """What a person has on the phone. Each code is used once, as a person would."""

    def __init__(self, served: Served, secret: str) -> None:
        self._served = served
        self._totp = pyotp.TOTP(secret)
        self._next = 0

    def code(self) -> str:
        """A code that was not shown before; time goes on if it has to."""
        step = int(self._served.clock()) // 30
        if step <= self._next:
            self._served.clock.ahead_s += 30 * (self._next + 1 - step)
            step = self._next + 1
        self._next = step
        return self._totp.at(step * 30)


async def enrol(served: Served, name: str) -> tuple[Authenticator, list[str]]:
    """A second factor for somebody: the authenticator and the recovery codes."""
    async with await signed_in(served, name) as http:
        made = await http.post("/paasd/v1/me/second-factor")
        assert made.status_code == 201, made.text
        authenticator = Authenticator(served, made.json()["secret"])
        confirmed = await http.post("/paasd/v1/me/second-factor/actions/confirm", json={"code": authenticator.code()})
        assert confirmed.status_code == 200, confirmed.text
    return authenticator, confirmed.json()["recovery_codes"]


def names_of(answer: httpx.Response) -> list[str]:
    """Of the resources of a list."""
    assert answer.status_code == 200, answer.text
    return [one["name"] for one in answer.json()["resources"]]


async def events(served: Served, kind: str) -> list[dict[str, Any]]:
    """Audit events of a type, oldest first."""
    async with served.root_client() as http:
        answer = await http.get("/v3/audit_events", params={"types": kind, "order_by": "created_at"})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["resources"]
    return found
