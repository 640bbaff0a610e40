"""What the audit says of an accepted invitation: who took it, from where, and whose offer it was."""

from pathlib import Path

import httpx

from paasd.model import AuditEvent
from tests.api.serving import PASSWORD, Served, serve
from tests.tenancy.test_invitations import ACCEPT, invite, make_manager, opened

ADDRESS = "203.0.113.7"
FROM = {"X-Forwarded-For": ADDRESS, "X-Vcap-Request-Id": "accept-1"}


def told(served: Served) -> dict[str, AuditEvent]:
    """The newest event of each type."""
    with served.context.database.read() as tx:
        return {event.type: event for event in tx.all(AuditEvent, order=("sequence",))}


GRANTS = ("organization_user", "organization_auditor", "space_developer")


async def test_who_has_an_account_accepts_from_somewhere(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, await make_manager(served) as boss:
        made = await invite(boss)
        guid = await served.make_user("ann")
        async with served.client((await served.login("ann"))["access_token"]) as ann:
            answer = await ann.post(ACCEPT, json={"secret": made["secret"]}, headers=FROM)
            assert answer.status_code == 200, answer.text
            request_id = answer.headers["X-Vcap-Request-Id"]
        events = told(served)
        for event in ("invitation.accept", *(f"user.{role}_add" for role in GRANTS)):
            seen = events[f"audit.{event}"]
            assert (seen.actor_guid, seen.actor_name) == (guid, "ann"), event
            assert (seen.address, seen.client, seen.request_id) == (ADDRESS, "cf", request_id), event
            assert seen.data["invited_by"] == "boss", event


async def test_an_account_is_made_by_who_accepts_and_not_by_who_invited(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, await make_manager(served), await served.admin() as admin:
        made = await invite(admin)
        async with httpx.AsyncClient() as browser:
            form = {"secret": made["secret"], "username": "ann@example.org", "password": PASSWORD}
            answer = await browser.post(opened(served, made), data=form, headers=FROM)
            assert answer.status_code == 200, answer.text
            request_id = answer.headers["X-Vcap-Request-Id"]
        events = told(served)
        account = events["audit.user.create"].target_guid
        for event in ("user.create", "invitation.accept", *(f"user.{role}_add" for role in GRANTS)):
            seen = events[f"audit.{event}"]
            assert (seen.actor_guid, seen.actor_type, seen.actor_name) == (account, "user", "ann@example.org"), event
            assert (seen.address, seen.request_id) == (ADDRESS, request_id), event
            assert seen.data["invited_by"] == "admin", event
