"""An organization keeps a manager, one who sees it where it demands a second factor, and its billing manager."""

from pathlib import Path
from typing import Any

from paasd.model.arguments import SYSTEM
from paasd.model.second_factors import ConfirmFactor, EnrolFactor, confirm_factor, enrol_factor
from tests.tenancy.calling import Answer
from tests.tenancy.entries import one
from tests.tenancy.world import World, filled, open_world


async def roles(world: World, kind: str) -> list[dict[str, Any]]:
    """Roles of one kind in the first organization."""
    query = f"types={kind}&organization_guids={world.organizations[0].values['org']}"
    found: list[dict[str, Any]] = (await world.expect(world.admin, f"GET /v3/roles?{query}")).json["resources"]
    return found


async def enrol(world: World, user_guid: str, *, confirmed: bool = True) -> None:
    """A second factor of somebody."""
    database = world.served.context.database
    await database.write(enrol_factor, EnrolFactor(user_guid=user_guid, sealed_secret="s", actor=SYSTEM))
    if confirmed:
        done = ConfirmFactor(user_guid=user_guid, sealed_secret="s", step=1, recovery_hashes=[], actor=SYSTEM)
        await database.write(confirm_factor, done)


def holder(role: dict[str, Any]) -> str:
    return str(role["relationships"]["user"]["data"]["guid"])


def refused(answer: Answer, words: str) -> bool:
    return answer.status == 422 and words in answer.body


async def test_the_last_billing_manager_stays_until_there_is_another(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        first, last = await roles(world, "organization_billing_manager")
        await world.expect(world.admin, f"DELETE /v3/roles/{first['guid']}")
        for call in (f"/v3/roles/{last['guid']}", f"/v3/users/{holder(last)}", f"/Users/{holder(last)}"):
            answer = await world.api.call(world.admin, "DELETE", call)
            assert refused(answer, "The last billing manager of organization 'zebra-org' cannot be taken away"), call
        values = world.organizations[0].values
        successor = {"type": "organization_billing_manager", "relationships": one(user="user", organization="org")}
        await world.expect(world.admin, "POST /v3/roles", filled(successor, values))
        await world.expect(world.admin, f"DELETE /v3/roles/{last['guid']}")


async def test_the_last_manager_with_a_factor_stays_where_the_organization_demands_one(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        first, second = await roles(world, "organization_manager")
        await enrol(world, holder(first))
        delete = f"DELETE /v3/roles/{first['guid']}"
        demand = "PUT /paasd/v1/organizations/zebra-org/second-factor"
        await world.expect(world.admin, demand, {"demanded": True})
        method, url = delete.split()
        words = "The last manager of organization 'zebra-org' who has a second factor"
        assert refused(await world.api.call(world.admin, method, url), words)
        assert refused(await world.api.call(world.admin, "DELETE", f"/v3/users/{holder(first)}"), words)
        await enrol(world, holder(second), confirmed=False)
        assert refused(await world.api.call(world.admin, method, url), words), "it is not confirmed"
        await enrol(world, holder(second))
        await world.expect(world.admin, delete)


async def test_a_manager_without_a_factor_may_go_and_nobody_needs_one_where_none_is_demanded(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        first, second = await roles(world, "organization_manager")
        await enrol(world, holder(first))
        demand = "PUT /paasd/v1/organizations/zebra-org/second-factor"
        await world.expect(world.admin, demand, {"demanded": True})
        await world.expect(world.admin, f"DELETE /v3/roles/{second['guid']}")
        again = {"type": "organization_manager", "relationships": one(user="user", organization="org")}
        await world.expect(world.admin, "POST /v3/roles", filled(again, world.organizations[0].values))
        await world.expect(world.admin, demand, {"demanded": False})
        await world.expect(world.admin, f"DELETE /v3/roles/{first['guid']}")
