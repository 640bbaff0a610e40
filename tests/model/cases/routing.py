"""Arguments of the operations on domains, routes, and who may talk to whom."""

from typing import Any

from paasd.model import (
    Destination,
    domain_sharing,
    domains,
    network_policies,
    organizations,
    route_sharing,
    routes,
    security_groups,
    tcp_routes,
)
from paasd.model.arguments import SYSTEM
from tests.model.cases.register import LABELS, case
from tests.model.seeding import Seed


@case(domains.create_domain)
async def _(seed: Seed) -> Any:
    organization, _, _ = await seed.place()
    return domains.CreateDomain(name="x.example.org", organization_guid=organization.guid, actor=SYSTEM)


@case(domains.update_domain)
async def _(seed: Seed) -> Any:
    _, _, domain = await seed.place()
    return domains.UpdateDomain(domain_guid=domain.guid, metadata=LABELS)


@case(domains.begin_delete_domain)
async def _(seed: Seed) -> Any:
    _, _, domain = await seed.place()
    return domains.DeleteDomain(domain_guid=domain.guid, actor=SYSTEM)


@case(domain_sharing.share_domain)
async def _(seed: Seed) -> Any:
    domain, other = await _own_domain(seed)
    return domain_sharing.ShareDomain(domain_guid=domain, organization_guids=[other, other], actor=SYSTEM)


@case(domain_sharing.unshare_domain)
async def _(seed: Seed) -> Any:
    domain, other = await _own_domain(seed)
    wanted = domain_sharing.ShareDomain(domain_guid=domain, organization_guids=[other], actor=SYSTEM)
    await seed.database.write(domain_sharing.share_domain, wanted)
    return domain_sharing.UnshareDomain(domain_guid=domain, organization_guid=other, actor=SYSTEM)


async def _own_domain(seed: Seed) -> tuple[str, str]:
    """A private domain, and another organization."""
    organization, _, _ = await seed.place()
    made = domains.CreateDomain(name="own.example.org", organization_guid=organization.guid, actor=SYSTEM)
    domain = await seed.database.write(domains.create_domain, made)
    other = organizations.CreateOrganization(name="other", actor=SYSTEM)
    return domain.guid, (await seed.database.write(organizations.create_organization, other)).guid


@case(routes.create_route)
async def _(seed: Seed) -> Any:
    _, space, domain = await seed.place()
    return routes.CreateRoute(domain_guid=domain.guid, space_guid=space.guid, host="x", actor=SYSTEM)


async def tcp_domain(seed: Seed) -> str:
    """The guid of a domain for routes with a port."""
    made = domains.CreateTcpDomain(name="tcp.example.org", router_group_guid="group", actor=SYSTEM)
    return (await seed.database.write(domains.create_tcp_domain, made)).guid


@case(domains.create_tcp_domain)
async def _(seed: Seed) -> Any:
    return domains.CreateTcpDomain(name="tcp.example.org", router_group_guid="group", actor=SYSTEM)


@case(tcp_routes.create_tcp_route)
async def _(seed: Seed) -> Any:
    _, space, _ = await seed.place()
    domain = await tcp_domain(seed)
    return tcp_routes.CreateTcpRoute(
        domain_guid=domain, space_guid=space.guid, begin=2001, reservable=[(2000, 2001)], actor=SYSTEM
    )


@case(routes.update_route)
async def _(seed: Seed) -> Any:
    route = await seed.route()
    return routes.UpdateRoute(route_guid=route.guid, options={"loadbalancing": "round-robin"}, actor=SYSTEM)


@case(routes.delete_route)
async def _(seed: Seed) -> Any:
    return routes.DeleteRoute(route_guid=(await seed.route()).guid, actor=SYSTEM)


@case(routes.add_destinations)
@case(routes.replace_destinations)
async def _(seed: Seed) -> Any:
    app, route = await seed.app(), await seed.route()
    wanted = routes.NewDestination(app_guid=app.guid)
    return routes.ChangeDestinations(route_guid=route.guid, destinations=[wanted, wanted], actor=SYSTEM)


@case(routes.update_destination)
async def _(seed: Seed) -> Any:
    made = await _destination(seed)
    return routes.UpdateDestination(
        route_guid=made.route_guid, destination_guid=made.guid, protocol="http2", actor=SYSTEM
    )


@case(route_sharing.share_route)
async def _(seed: Seed) -> Any:
    return (await _sharing(seed))[0]


@case(route_sharing.unshare_route)
@case(route_sharing.move_route)
async def _(seed: Seed) -> Any:
    share, space = await _sharing(seed)
    await seed.database.write(route_sharing.share_route, share)
    return route_sharing.MoveRoute(route_guid=share.route_guid, space_guid=space, actor=SYSTEM)


async def _sharing(seed: Seed) -> tuple[route_sharing.ShareRoute, str]:
    """A route to be shared, and with which space."""
    route, (organization, _, _) = await seed.route(), await seed.place()
    space = (await seed.other_space(organization)).guid
    return route_sharing.ShareRoute(route_guid=route.guid, space_guids=[space, space], actor=SYSTEM), space


@case(routes.remove_destination)
async def _(seed: Seed) -> Any:
    made = await _destination(seed)
    return routes.RemoveDestination(route_guid=made.route_guid, destination_guid=made.guid, actor=SYSTEM)


async def _destination(seed: Seed) -> Destination:
    app, route = await seed.app(), await seed.route()
    wanted = routes.ChangeDestinations(
        route_guid=route.guid, destinations=[routes.NewDestination(app_guid=app.guid)], actor=SYSTEM
    )
    [made] = await seed.database.write(routes.add_destinations, wanted)
    return made


async def _group(seed: Seed) -> str:
    _, space, _ = await seed.place()
    rule = {"protocol": "tcp", "destination": "10.0.0.5", "ports": "5432"}
    made = security_groups.CreateSecurityGroup(
        name="database", rules=[rule], running_spaces=[space.guid], staging_default=True, actor=SYSTEM
    )
    return (await seed.database.write(security_groups.create_security_group, made)).guid


@case(security_groups.create_security_group)
async def _(seed: Seed) -> Any:
    _, space, _ = await seed.place()
    rule = {"protocol": "icmp", "destination": "10.0.0.0/8", "type": 8, "code": 0}
    return security_groups.CreateSecurityGroup(
        name="ping", rules=[rule], staging_spaces=[space.guid, space.guid], actor=SYSTEM
    )


@case(security_groups.update_security_group)
async def _(seed: Seed) -> Any:
    return security_groups.UpdateSecurityGroup(
        security_group_guid=await _group(seed), name="db", rules=[], running_default=True, actor=SYSTEM
    )


@case(security_groups.delete_security_group)
async def _(seed: Seed) -> Any:
    return security_groups.DeleteSecurityGroup(security_group_guid=await _group(seed), actor=SYSTEM)


@case(security_groups.bind_security_group)
async def _(seed: Seed) -> Any:
    group = await _group(seed)
    _, space, _ = await seed.place()
    return security_groups.BindSecurityGroup(
        security_group_guid=group, phase="staging", space_guids=[space.guid], actor=SYSTEM
    )


@case(security_groups.unbind_security_group)
async def _(seed: Seed) -> Any:
    group = await _group(seed)
    _, space, _ = await seed.place()
    return security_groups.UnbindSecurityGroup(
        security_group_guid=group, phase="running", space_guid=space.guid, actor=SYSTEM
    )


@case(network_policies.add_policies)
async def _(seed: Seed) -> Any:
    return await _policies(seed)


@case(network_policies.remove_policies)
async def _(seed: Seed) -> Any:
    wanted = await _policies(seed)
    await seed.database.write(network_policies.add_policies, wanted)
    return wanted


async def _policies(seed: Seed) -> network_policies.ChangePolicies:
    source, destination = await seed.app("front"), await seed.app("back")
    one = network_policies.PolicySpec(
        source_guid=source.guid, destination_guid=destination.guid, protocol="tcp", start_port=8080, end_port=8081
    )
    return network_policies.ChangePolicies(policies=[one, one], actor=SYSTEM)


@case(network_policies.clean_policies)
async def _(seed: Seed) -> Any:
    return network_policies.CleanPolicies()
