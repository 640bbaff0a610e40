"""Good calls that somebody in particular has to make, or that need a secret that was shown once."""

from typing import TYPE_CHECKING, Any

from tests.api.serving import PASSWORD
from tests.api.sign_in import Authenticator, enrol, sign_in, signed_in

if TYPE_CHECKING:
    from tests.api.calls import Caller

FACTOR = "/paasd/v1/me/second-factor"
INVITATIONS = "/paasd/v1/organizations/<organization>/invitations"


async def call_of_people(caller: "Caller", method: str, path: str, places: dict[str, str]) -> dict[str, Any] | None:
    """What is sent with the call, and as whom; None for a call that the caller makes like all others."""
    match method, path:
        case "POST", "/passcode":
            return {"data": {"username": "admin", "password": PASSWORD}}
        case "GET", "/invitation":
            return {"params": {"secret": (await invite(caller))["secret"]}}
        case "POST", "/invitation":
            made = await invite(caller)
            return {"data": {"secret": made["secret"], "username": made["address"], "password": PASSWORD}}
        case "POST", "/paasd/v1/invitations/accept":
            return {"json": {"secret": (await invite(caller))["secret"]}}
        case "DELETE", path if path == f"{INVITATIONS}/<invitation>":
            made = await invite(caller)
            places |= {"organization": made["organization"], "invitation": made["guid"]}
            return {}
        case "POST", path if path == f"{FACTOR}/actions/confirm":
            return await confirming(caller)
        case "POST", path if path.startswith(f"{FACTOR}/actions/"):
            return await with_factor(caller)
        case "DELETE", "/paasd/v1/users/<user>/second-factor":
            places["user"] = caller.name()
            await caller.served.make_user(places["user"])
            await enrol(caller.served, places["user"])
            return {}
    return None


async def invite(caller: "Caller") -> dict[str, str]:
    """An invitation, its organization, whom it is for, and its secret."""
    organization = (await caller.make_organizations())["organization"]
    path = INVITATIONS.replace("<organization>", organization)
    made = await caller.http.post(path, json={"address": f"{caller.name()}@example.org"})
    assert made.status_code == 201, made.text
    return {"organization": organization, **{name: made.json()[name] for name in ("guid", "address", "secret")}}


async def confirming(caller: "Caller") -> dict[str, Any]:
    """Somebody who has begun to enrol."""
    name = caller.name()
    await caller.served.make_user(name)
    async with await signed_in(caller.served, name) as http:
        secret = (await http.post(FACTOR)).json()["secret"]
        authorization = http.headers["Authorization"]
    code = Authenticator(caller.served, secret).code()
    return {"json": {"code": code}, "headers": {"Authorization": authorization}}


async def with_factor(caller: "Caller") -> dict[str, Any]:
    """Somebody who has one and has signed in with it."""
    name = caller.name()
    await caller.served.make_user(name)
    authenticator, _ = await enrol(caller.served, name)
    token = (await sign_in(caller.served, name, mfaCode=authenticator.code())).json()["access_token"]
    return {"json": {"code": authenticator.code()}, "headers": {"Authorization": f"bearer {token}"}}
