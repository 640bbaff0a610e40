"""What apps may reach: policies between apps, security groups for the rest."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from paasd.cli import render
from paasd.cli.client import Client, Target

POLICIES = "/networking/v1/external/policies"
INTERNAL = "apps.internal"
_PORTS = click.option(
    "--port", "ports", metavar="PORT[-PORT]", default="8080", show_default=True, help="The port, or a range of them."
)


@click.group(short_help="Let apps of the space call each other.")
def network() -> None:
    """Which apps may open connections to which others. What nobody allowed is closed.

    \b
      paasd network allow front stock            front reaches http://stock.apps.internal:8080
      paasd network list
      paasd network forbid front stock
    """


@network.command("allow", short_help="Let one app connect to another.")
@click.argument("source")
@click.argument("destination")
@_PORTS
@click.pass_obj
def allow(target: Target, source: str, destination: str, ports: str) -> None:
    """Let SOURCE connect to DESTINATION, at DESTINATION.apps.internal. It counts at once, for running instances too.

    DESTINATION gets that name unless it has one inside the platform already.
    """
    client = target.connect()
    policy, app = _policy(client, target, source, destination, ports)
    names = _internal_names(client, app) or [_named(client, app, destination)]
    client.call("POST", POLICIES, json={"policies": [policy]})
    where = " or ".join(f"{name}:{ports}" for name in names)
    click.echo(f"{source} may connect to {destination} at {where}.")


@network.command("forbid", short_help="Take that back.")
@click.argument("source")
@click.argument("destination")
@_PORTS
@click.pass_obj
def forbid(target: Target, source: str, destination: str, ports: str) -> None:
    """Take the permission away; connections that are open end."""
    client = target.connect()
    policy, _ = _policy(client, target, source, destination, ports)
    client.call("POST", f"{POLICIES}/delete", json={"policies": [policy]})
    click.echo(f"{source} may not connect to {destination} at {ports} (any more).")


@network.command("list", short_help="Show who may connect to whom.")
@click.pass_obj
def list_policies(target: Target) -> None:
    """Show the policies of the apps of the space."""
    client = target.connect()
    names = {app["guid"]: app["name"] for app in client.pages(f"{target.space_path}/apps")}
    policies = client.call("GET", POLICIES)["policies"]
    rows = [
        (names.get(source, source), names.get(to["id"], to["id"]), to["protocol"], _span(to["ports"]))
        for source, to in ((one["source"]["id"], one["destination"]) for one in policies)
        if source in names or to["id"] in names
    ]
    if not rows:
        click.echo("No app of the space may connect to another; `paasd network allow SOURCE DESTINATION` lets one.")
        return
    render.table(["source", "destination", "protocol", "ports"], sorted(rows))


def _span(ports: dict[str, int]) -> str:
    return str(ports["start"]) if ports["start"] == ports["end"] else f"{ports['start']}-{ports['end']}"


def _policy(
    client: Client, target: Target, source: str, destination: str, ports: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The policy, and the app that it leads to."""
    first, _, last = ports.partition("-")
    if not first.isdecimal() or not (last or first).isdecimal():
        raise click.UsageError(f"--port wants a number such as 8080 or a range such as 8080-8090, not {ports!r}")
    caller, callee = (client.call("GET", target.app_path(name)) for name in (source, destination))
    span = {"start": int(first), "end": int(last or first)}
    leading = {"id": callee["guid"], "protocol": "tcp", "ports": span}
    return {"source": {"id": caller["guid"]}, "destination": leading}, callee


def _internal_names(client: Client, app: dict[str, Any]) -> list[str]:
    routes = client.pages(f"/v3/apps/{app['guid']}/routes")
    domains = {domain["guid"] for domain in client.pages("/v3/domains") if domain["internal"]}
    return [route["url"] for route in routes if route["relationships"]["domain"]["data"]["guid"] in domains]


def _named(client: Client, app: dict[str, Any], name: str) -> str:
    """Give an app a name inside the platform."""
    domain = client.pages("/v3/domains", names=INTERNAL)[0]["guid"]
    space = app["relationships"]["space"]["data"]["guid"]
    relationships = {"domain": {"data": {"guid": domain}}, "space": {"data": {"guid": space}}}
    host = name.lower().replace(".", "-")
    route = client.call("POST", "/v3/routes", json={"host": host, "relationships": relationships})
    path = f"/v3/routes/{route['guid']}/destinations"
    client.call("POST", path, json={"destinations": [{"app": {"guid": app["guid"]}}]})
    return str(route["url"])


@click.group("security-group", short_help="Open addresses outside to apps of a space.")
def security_group() -> None:
    """What apps may reach outside the platform. Groups add up; what none of them names is closed.

    \b
      paasd security-group create database '[{"protocol":"tcp","destination":"10.0.0.5","ports":"5432"}]'
      paasd security-group bind database main/dev
      paasd security-group list
    """


@security_group.command("list", short_help="Show the groups and where they count.")
@click.pass_obj
def list_groups(target: Target) -> None:
    """Show each group, where it counts, and what it opens."""
    client = target.connect()
    spaces = {space["guid"]: space["name"] for space in client.pages("/v3/spaces")}
    rows = []
    for group in client.pages("/v3/security_groups"):
        for phase in ("running", "staging"):
            bound = [spaces.get(one["guid"], one["guid"]) for one in group["relationships"][f"{phase}_spaces"]["data"]]
            where = ["all spaces"] if group["globally_enabled"][phase] else sorted(bound)
            if where:
                rows.append((group["name"], phase, ", ".join(where), f"{len(group['rules'])} rules"))
        if not rows or rows[-1][0] != group["name"]:
            rows.append((group["name"], "-", "nowhere", f"{len(group['rules'])} rules"))
    render.table(["name", "for", "in", "opens"], rows)


@security_group.command("create", short_help="Make or change a group.")
@click.argument("name")
@click.argument("rules", metavar="RULES|FILE")
@click.pass_obj
def create_group(target: Target, name: str, rules: str) -> None:
    """Make the group NAME, or give it other RULES: JSON, or a file with that, as in Cloud Foundry.

    A rule has protocol (tcp, udp, icmp, all), destination (addresses, ranges, networks) and, for tcp and udp, ports.
    """
    text = rules if rules.lstrip().startswith("[") else Path(rules).read_text()
    try:
        wanted = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"the rules are not JSON: {error}") from error
    client = target.connect()
    known = client.pages("/v3/security_groups", names=name)
    if known:
        client.call("PATCH", f"/v3/security_groups/{known[0]['guid']}", json={"rules": wanted})
        click.echo(f"Changed {name}; it counts at once where it is bound.")
        return
    client.call("POST", "/v3/security_groups", json={"name": name, "rules": wanted})
    click.echo(f"Created {name}; `paasd security-group bind {name} ORG/SPACE` makes it count.")


def _binding_options(command: Callable[..., None]) -> Callable[..., None]:
    """What says which group, and where it is to count."""
    for option in (
        click.pass_obj,
        click.option("--staging", is_flag=True, help="For builds instead of running apps."),
        click.argument("space", metavar="ORG/SPACE"),
        click.argument("name"),
    ):
        command = option(command)
    return command


@security_group.command("bind", short_help="Let a group count in a space.")
@_binding_options
def bind(target: Target, name: str, space: str, staging: bool) -> None:
    """Let the group NAME count in a space; at once, for running instances too."""
    client = target.connect()
    path, guid = _binding(client, name, space, staging)
    client.call("POST", path, json={"data": [{"guid": guid}]})
    click.echo(f"{name} counts in {space}.")


@security_group.command("unbind", short_help="Take that back.")
@_binding_options
def unbind(target: Target, name: str, space: str, staging: bool) -> None:
    """Let the group NAME not count in a space any more; connections that only it allowed end."""
    client = target.connect()
    path, guid = _binding(client, name, space, staging)
    client.call("DELETE", f"{path}/{guid}")
    click.echo(f"{name} does not count in {space} any more.")


def _binding(client: Client, name: str, space: str, staging: bool) -> tuple[str, str]:
    organization, _, inner = space.partition("/")
    groups = client.pages("/v3/security_groups", names=name)
    if not groups:
        raise click.ClickException(f"there is no group {name}; `paasd security-group list` shows those there are")
    owners = client.pages("/v3/organizations", names=organization)
    found = client.pages("/v3/spaces", names=inner, organization_guids=owners[0]["guid"]) if owners and inner else []
    if not found:
        raise click.ClickException(f"there is no space {space}")
    phase = "staging" if staging else "running"
    return f"/v3/security_groups/{groups[0]['guid']}/relationships/{phase}_spaces", found[0]["guid"]
