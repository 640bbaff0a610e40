"""Commands about the platform itself: organizations, spaces, stacks, its state, and stopping all of it."""

from pathlib import Path
from typing import Any

import click

from paasd.cli import render
from paasd.cli.client import Client, Target


def _find(client: Client, path: str, **filters: str) -> dict[str, Any] | None:
    found = client.pages(path, **filters)
    return found[0] if found else None


@click.command("create-org", short_help="Create an organization.")
@click.argument("name")
@click.pass_obj
def create_org(target: Target, name: str) -> None:
    """Create the organization NAME; one that is there already is fine."""
    client = target.connect()
    if _find(client, "/v3/organizations", names=name):
        click.echo(f"Organization {name} is there already.")
        return
    client.call("POST", "/v3/organizations", json={"name": name})
    click.echo(f"Created organization {name}.")


@click.command("create-space", short_help="Create a space to push to.")
@click.argument("space", metavar="ORG/SPACE")
@click.pass_context
def create_space(context: click.Context, space: str) -> None:
    """Create a space, and its organization where that is missing."""
    target: Target = context.obj
    organization, _, name = space.partition("/")
    if not organization or not name:
        raise click.UsageError(f"wants ORG/SPACE, not {space!r}")
    client = target.connect()
    context.invoke(create_org, name=organization)
    owner = _find(client, "/v3/organizations", names=organization)
    if owner is None:
        raise click.ClickException(f"organization {organization} vanished meanwhile; try again")
    if _find(client, "/v3/spaces", names=name, organization_guids=owner["guid"]):
        click.echo(f"Space {space} is there already.")
        return
    relationships = {"organization": {"data": {"guid": owner["guid"]}}}
    client.call("POST", "/v3/spaces", json={"name": name, "relationships": relationships})
    click.echo(f"Created space {space}. Use it with --space {space} or PAASD_SPACE={space}.")


@click.command(short_help="How the platform does.")
@click.pass_obj
def status(target: Target) -> None:
    """Say how the platform does, and what to do about what is wrong."""
    answer = target.connect().call("GET", "/paasd/v1/status")
    problems, advice = answer.pop("problems"), answer.pop("advice")
    render.fields((key.replace("_", " "), value) for key, value in answer.items())
    for problem in problems:
        click.secho(f"problem: {problem}", fg="red")
    if not problems:
        click.secho("The platform has no problems.", fg="green")
    for better in advice:
        click.echo(f"better: {better}")


@click.command(short_help="Stop the daemon; with --all the apps, too.")
@click.option("--all", "everything", is_flag=True, help="Also end every instance, Envoy and their helpers.")
@click.option("--config", type=click.Path(path_type=Path), help="Configuration file of the node.")
@click.pass_obj
def stop(target: Target, everything: bool, config: Path | None) -> None:
    """Stop this machine's daemon; with --all also everything that it keeps running."""
    from paasd.log import configure_logging
    from paasd.node import stop_node

    configure_logging(level="WARNING")
    for line in stop_node(Path(target.data), config, everything=everything):
        click.echo(line)


@click.group(short_help="Build root file systems for apps.")
def stack() -> None:
    """Root file systems that apps run on."""


@stack.command("build")
@click.argument("name", type=click.Choice(["debian12"]))
@click.option("--small", is_flag=True, help="Fewer packages: for tests, not for third-party buildpacks.")
@click.pass_obj
def build_stack(target: Target, name: str, small: bool) -> None:
    """Build the stack NAME from Debian's packages (one to three minutes)."""
    from paasd.node import build_stack as build

    image = build(Path(target.data), name, small=small, progress=click.echo)
    click.echo(f"Stack {name} is ready: {image}")
