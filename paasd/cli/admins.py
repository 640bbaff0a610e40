"""Commands about who administers and who audits the platform as a whole."""

from collections.abc import Callable
from typing import Final
from urllib.parse import quote

import click

from paasd.cli import render
from paasd.cli.accounts import find
from paasd.cli.client import Target

ROLES: Final = {
    "admin": "cloud_controller.admin",
    "admin-read-only": "cloud_controller.admin_read_only",
    "global-auditor": "cloud_controller.global_auditor",
}


def whom(command: Callable[..., None]) -> Callable[..., None]:
    """Whose role it is, and which: what both commands below ask for."""
    for what in (
        click.option("--origin", default="uaa", show_default=True, help="Where the user signs in."),
        click.argument("role", type=click.Choice(list(ROLES))),
        click.argument("user"),
    ):
        command = what(command)
    return command


@click.group("admin", short_help="Who administers or audits the whole platform.")
def admin() -> None:
    """Hand out the roles above organizations (docs/roles.md).

    \b
      admin              sees and changes everything
      admin-read-only    sees everything, secrets too, and changes nothing
      global-auditor     sees everything but secrets, and changes nothing

    \b
      paasd admin list
      paasd admin grant ann global-auditor
      paasd admin revoke ann global-auditor

    Roles in an organization or a space are given with `paasd invite`, or `cf set-space-role`.
    """


@admin.command("list", short_help="Who has which of them.")
@click.pass_obj
def list_admins(target: Target) -> None:
    """List the accounts with a role above organizations. Root on a node is an administrator besides."""
    client = target.connect()
    rows = [
        (member["display"], role, member["origin"])
        for role, group in ROLES.items()
        for member in client.call("GET", f"/uaa/Groups/{group}/members")
    ]
    render.table(("user", "role", "signs in at"), rows)


@admin.command("grant", short_help="Give somebody one of them.")
@whom
@click.pass_obj
def grant(target: Target, user: str, role: str, origin: str) -> None:
    """Give USER the ROLE, at once and in every session."""
    client = target.connect()
    account = find(client, user, origin)
    body = {"value": account["id"], "type": "USER", "origin": origin}
    client.call("POST", f"/uaa/Groups/{ROLES[role]}/members", json=body)
    click.echo(f"{user} is {role} now. `paasd admin revoke {user} {role}` takes it back.")


@admin.command("revoke", short_help="Take one of them away.")
@whom
@click.pass_obj
def revoke(target: Target, user: str, role: str, origin: str) -> None:
    """Take the ROLE from USER, at once and in every session."""
    client = target.connect()
    account = find(client, user, origin)
    client.call("DELETE", f"/uaa/Groups/{ROLES[role]}/members/{quote(account['id'], safe='')}")
    click.echo(f"{user} is no {role} any more.")
