"""`cloudfoundry-client` from PyPI makes, binds and removes security groups, and adds and reads network policies."""

from typing import Any

import pytest
import trio
from cloudfoundry_client.errors import InvalidEntity
from cloudfoundry_client.networking.v1.external.policies import Policy
from cloudfoundry_client.v3.entities import ToManyRelationship, ToOneRelationship
from cloudfoundry_client.v3.security_groups import GloballyEnabled, Rule, RuleProtocol

from tests.api.serving import Served
from tests.api.test_network_policies import an_app
from tests.api.test_pypi_client import sign_in


def groups(client: Any, space: str) -> None:
    rules = [
        Rule(RuleProtocol.TCP, "10.0.0.5", "5432", log=True),
        Rule(RuleProtocol.ICMP, "10.0.0.0/8", type=8, code=0),
    ]
    api = client.v3.security_groups
    made = api.create("database", rules, GloballyEnabled(staging=True))
    assert made["rules"][0]["ports"] == "5432"
    assert made["globally_enabled"] == {"running": False, "staging": True}
    bound = api.bind_running_security_group_to_spaces(made["guid"], ToManyRelationship(space))
    assert bound.guids == [space]
    assert api.get_first(running_space_guids=space)["name"] == "database"
    api.unbind_running_security_group_from_space(made["guid"], ToOneRelationship(space))
    assert api.get_first(running_space_guids=space) is None
    assert api.update(made["guid"], name="db")["name"] == "db"
    client.v3.jobs.wait_for_job_completion(api.remove(made["guid"]))
    assert api.get_first(names="db") is None


def policies(client: Any, source: str, destination: str) -> None:
    api = client.networking_v1_external.policies
    with pytest.raises(InvalidEntity):  # it takes the empty answer, which is Cloud Foundry's too, for a policy
        api.create([Policy(source, destination, "tcp", 8080, 8090)])
    assert api.get_first(source_id=source)["destination"]["ports"] == {"start": 8080, "end": 8090}
    assert list(api.list(source_id=destination)) == []


async def test_the_pypi_client_knows_its_way(served: Served) -> None:
    a, b = await an_app(served, "a"), await an_app(served, "b")
    client = await trio.to_thread.run_sync(sign_in, served.doors.url)
    await trio.to_thread.run_sync(groups, client, a.space_guid)
    await trio.to_thread.run_sync(policies, client, a.guid, b.guid)
