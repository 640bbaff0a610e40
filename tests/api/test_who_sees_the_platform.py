"""What is told of the platform as a whole: all of it to who sees everything, hardly anything to a tenant."""

import pytest

from paasd.auth.caller import ADMIN_READ_ONLY, GLOBAL_AUDITOR
from tests.api.calls import Caller
from tests.api.serving import Served
from tests.api.sign_in import make_member, make_place, signed_in


@pytest.mark.parametrize("scope", [ADMIN_READ_ONLY, GLOBAL_AUDITOR])
async def test_who_only_reads_the_platform_can_audit_it(served: Served, scope: str) -> None:
    await make_place(served)
    await served.make_user("reader", (scope,))
    await served.make_user("nobody")
    organization = "?organization=acme"
    urls = [f"/paasd/v1/audit/{what}{of}" for what in ("head", "verify", "events") for of in ("", organization)]
    urls += ["/paasd/v1/nodes", "/Users", "/Groups", "/oauth/clients", "/v3/audit_events", "/v3/app_usage_events"]
    async with await signed_in(served, "reader") as reader, await signed_in(served, "nobody") as nobody:
        refused = {url: answer.text for url in urls if (answer := await reader.get(url)).status_code != 200}
        assert refused == {}
        assert [u for u in urls if (await nobody.get(u)).status_code == 200] == urls[-2:], "their own, which is nothing"
        assert (await reader.get("/paasd/v1/keys")).status_code == 503, "a single node has none"
        assert (await nobody.get("/paasd/v1/keys")).status_code == 403
        # Reading on in the usage events: refused for a guid that there is not, and not answered to others.
        assert (await reader.get("/v3/app_usage_events?after_guid=none")).status_code == 422
        assert (await nobody.get("/v3/app_usage_events?after_guid=none")).status_code == 200


async def test_a_tenant_learns_from_the_status_whether_all_is_well_and_no_more(caller: Caller) -> None:
    served = caller.served
    place = await make_place(served)
    await make_member(served, "ada", place, "space_developer")
    async with await served.admin() as admin, await signed_in(served, "ada") as tenant:
        whole, shown = [(await one.get("/paasd/v1/status")).json() for one in (admin, tenant)]
        assert (whole["organizations"], whole["problems"]) == (2, [])
        assert set(shown) == {"version", "domains", "problems", "advice"}
        assert (shown["problems"], shown["advice"]) == ([], [])
        served.context.logs.write_error = "the disk of node seven is full"
        whole, shown = [(await one.get("/paasd/v1/status")).json() for one in (admin, tenant)]
        assert "seven" in str(whole["problems"])
        [problem] = shown["problems"]
        assert "seven" not in problem
        assert "administrators" in problem
