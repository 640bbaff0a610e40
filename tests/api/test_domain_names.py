"""Which names an organization may take for itself, and that what is told of a name is what making it comes to."""

from pathlib import Path

import httpx
import pytest

from paasd.config import Config, DomainsConfig
from tests.api.serving import API, CHEAP_HASHES, Served, serve
from tests.api.tenants import Tenant, make_tenant


def private(tenant: Tenant, name: str) -> dict[str, object]:
    return {"name": name, "relationships": {"organization": {"data": {"guid": tenant.organization}}}}


@pytest.mark.parametrize("name", ["gov.uk", "GOV.UK", "co.uk", "nhs.uk", "service.gov.uk"])
async def test_no_manager_takes_a_name_under_which_many_have_theirs(served: Served, name: str) -> None:
    tenant = await make_tenant(served, "acme")
    async with tenant.client("manager") as manager, await served.admin() as admin:
        answer = await manager.post("/v3/domains", json=private(tenant, name))
        assert answer.status_code == 422, answer.text
        text = f'The domain name "{name.lower()}" is one under which many organizations have theirs'
        assert text in answer.json()["errors"][0]["detail"]
        below = await manager.post("/v3/domains", json=private(tenant, f"acme.{name}"))
        assert below.status_code == 201, below.text
        assert (await admin.delete(f"/v3/domains/{below.json()['guid']}")).status_code == 202
        assert (await admin.post("/v3/domains", json=private(tenant, name))).status_code == 201


async def test_the_operator_says_which_names_those_are_and_none_above_them_may_be_taken(tmp_path: Path) -> None:
    names = DomainsConfig(public_suffixes=("apps.Ministry.example",))
    async with serve(tmp_path, Config(api=API, auth=CHEAP_HASHES, domains=names)) as served:
        tenant = await make_tenant(served, "acme")
        async with tenant.client("manager") as manager:
            statuses = {
                name: (await manager.post("/v3/domains", json=private(tenant, name))).status_code
                for name in ("apps.ministry.example", "ministry.example", "other.example", "gov.uk")
            }
    taken = {"apps.ministry.example": 422, "ministry.example": 422}
    assert statuses == {**taken, "other.example": 201, "gov.uk": 201}


async def reserved(http: httpx.AsyncClient, domain: str, **query: str) -> bool:
    answer = await http.get(f"/v3/domains/{domain}/route_reservations", params=query)
    assert answer.status_code == 200, answer.text
    return bool(answer.json()["matching_route"])


async def makes(http: httpx.AsyncClient, domain: str, space: str, **name: str) -> bool:
    places = {"space": {"data": {"guid": space}}, "domain": {"data": {"guid": domain}}}
    answer = await http.post("/v3/routes", json={**name, "relationships": places})
    assert answer.status_code in (201, 422), answer.text
    return answer.status_code == 201


async def test_a_name_is_told_to_be_reserved_just_when_making_it_is_refused(served: Served) -> None:
    one, two = await make_tenant(served, "one"), await make_tenant(served, "two")
    async with one.client("developer") as mine, two.client("developer") as theirs:
        domain = (await mine.get("/v3/domains?names=apps.localhost")).json()["resources"][0]["guid"]
        assert await makes(mine, domain, one.space, host="vic", path="/a")
        for name in ({"host": "vic", "path": "/a"}, {"host": "vic", "path": "/a/"}, {"host": "VIC", "path": "/a"}):
            for http, space in ((mine, one.space), (theirs, two.space)):
                assert await reserved(http, domain, **name)
                assert not await makes(http, domain, space, **name)
        for name in ({"host": "vic", "path": "/b"}, {"host": "vic"}):
            assert await reserved(theirs, domain, **name)
            assert not await makes(theirs, domain, two.space, **name)
            assert not await reserved(mine, domain, **name)
            assert await makes(mine, domain, one.space, **name)
            assert await reserved(mine, domain, **name)
        assert not await reserved(theirs, domain, host="free")
        assert await makes(theirs, domain, two.space, host="free")
        assert not await reserved(mine, domain, host="vic", path="/a", port="8080"), "none has a port"
        refused = await mine.get(f"/v3/domains/{domain}/route_reservations?port=x")
        assert refused.status_code == 400


async def test_all_spaces_of_an_organization_share_the_names_of_its_own_domains(served: Served) -> None:
    tenant = await make_tenant(served, "acme")
    async with (
        tenant.client("manager") as manager,
        tenant.client("developer") as developer,
        await served.admin() as admin,
    ):
        domain = (await manager.post("/v3/domains", json=private(tenant, "acme.example"))).json()["guid"]
        other = {"name": "other", "relationships": private(tenant, "")["relationships"]}
        other_space = (await manager.post("/v3/spaces", json=other)).json()["guid"]
        assert await makes(admin, domain, other_space, host="www", path="/a")
        assert not await reserved(developer, domain, host="www", path="/b")
        assert await makes(developer, domain, tenant.space, host="www", path="/b")
        assert await reserved(manager, domain, host="www", path="/c"), "who may make no routes"
