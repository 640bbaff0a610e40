"""`paasd user`: accounts that are switched off or on, or get another address."""

import shlex
from typing import Any, Final
from urllib.parse import quote

import click

from paasd.cli import render
from paasd.cli.client import Client, Target

HERE: Final = "uaa"
ORIGIN: Final = click.option("--origin", default=HERE, show_default=True, help="Where the user signs in.")
PAGE: Final = 500


@click.group("user", short_help="Switch accounts off and on, change an address (administrators).")
def user() -> None:
    """Look after the accounts of people.

    \b
      paasd user list --off             who cannot sign in now
      paasd user off ada                she has left, or her laptop has: every session ends now
      paasd user on ada                 she may sign in again
      paasd user address ada ada@example.org

    An account that is off keeps its roles, and what it owns goes on running; its deploy tokens do not count meanwhile.
    `cf delete-user` takes all of it away for good.
    """


@user.command("list", short_help="Accounts, and whether they are on.")
@click.option("--off", "only_off", is_flag=True, help="Only those that are switched off.")
@click.pass_obj
def list_users(target: Target, only_off: bool) -> None:
    """List the accounts of people, oldest first."""
    query = 'origin ne "deploy-token"' + (" and active eq false" if only_off else "")
    rows = [
        (one["userName"], one["origin"], one["emails"][0]["value"], "on" if one["active"] else "off")
        for one in _all(target.connect(), query)
    ]
    render.table(("user", "signs in at", "address", "account"), rows)


@user.command("off", short_help="The user cannot sign in, and every session ends.")
@ORIGIN
@click.argument("name")
@click.pass_obj
def off(target: Target, name: str, origin: str) -> None:
    """Switch the account of NAME off: nobody signs in with it, and what was signed in before ends at once."""
    _change(target.connect(), name, origin, active=False)
    undo = shlex.join(["paasd", "user", "on", name, *(() if origin == HERE else ("--origin", origin))])
    click.echo(f"{name} is off: every session has ended, deploy tokens do not count. `{undo}` undoes it.")


@user.command("on", short_help="The user may sign in again.")
@ORIGIN
@click.argument("name")
@click.pass_obj
def on(target: Target, name: str, origin: str) -> None:
    """Switch the account of NAME on. Sessions from before stay ended."""
    _change(target.connect(), name, origin, active=True)
    click.echo(f"{name} is on, and signs in again as before.")


@user.command("address", short_help="Another e-mail address.")
@ORIGIN
@click.argument("name")
@click.argument("address")
@click.pass_obj
def address(target: Target, name: str, address: str, origin: str) -> None:
    """Give the account of NAME another ADDRESS. The name to sign in with stays."""
    _change(target.connect(), name, origin, emails=[{"value": address, "primary": True}])
    click.echo(f"The address of {name} is {address} now.")


def find(client: Client, name: str, origin: str) -> dict[str, Any]:
    """The account of a name, which has to be there."""
    query = f"userName eq {_quoted(name)} and origin eq {_quoted(origin)}"
    found = client.call("GET", "/uaa/Users", params={"filter": query})["resources"]
    if not found:
        raise click.ClickException(
            f"there is no account {name} that signs in at {origin}; `paasd invite create {name}` makes one"
        )
    return dict(found[0])


def _quoted(text: str) -> str:
    """As filters have it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _change(client: Client, name: str, origin: str, **changes: Any) -> None:
    guid = find(client, name, origin)["id"]
    client.call("PATCH", f"/uaa/Users/{quote(guid, safe='')}", json=changes)


def _all(client: Client, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        params = {"filter": query, "startIndex": str(len(found) + 1), "count": str(PAGE)}
        page = client.call("GET", "/uaa/Users", params=params)
        found += page["resources"]
        if not page["resources"] or len(found) >= page["totalResults"]:
            return found
