"""Commands about second factors."""

from urllib.parse import quote

import click

from paasd.cli import render
from paasd.cli.client import Target, organization_path

MINE = "/paasd/v1/me/second-factor"


@click.group("second-factor", short_help="Codes of an authenticator beside the password.")
def second_factor() -> None:
    """A second factor: six digits of an authenticator app (TOTP), asked for beside the password.

    \b
      paasd --api URL --user me second-factor enrol
      paasd --api URL --user me --code 123456 apps
      cf login -u me         then the password with the six digits right behind it
      cf login --sso         then a code from the page that it names
    """


@second_factor.command("enrol", short_help="Begin to use one.")
@click.pass_obj
def enrol(target: Target) -> None:
    """Enrol an authenticator for yourself: add what is shown to it, then type the code that it shows.

    Every session that you have ends with that. The recovery codes are for the day on which you lose the authenticator:
    each counts once.
    """
    client = target.connect()
    made = client.call("POST", MINE)
    click.echo(f"Add this to your authenticator, as a link or by hand:\n  {made['uri']}\n  secret {made['secret']}")
    codes = client.call("POST", f"{MINE}/actions/confirm", json={"code": click.prompt("Code that it shows")})
    click.echo("Enrolled. From now on signing in wants a code. Recovery codes, not shown again:")
    for code in codes["recovery_codes"]:
        click.echo(f"  {code}")


@second_factor.command("show", short_help="Whether you have one.")
@click.pass_obj
def show(target: Target) -> None:
    """Say whether you have a second factor, and how many recovery codes are left."""
    found = target.connect().call("GET", MINE)
    rows = (
        ("enrolled", "yes" if found["enrolled"] else "no"),
        ("recovery codes left", found["recovery_codes_left"]),
        ("used for this sign-in", "yes" if found["signed_in_with_it"] else "no"),
    )
    render.fields(rows)


@second_factor.command("recovery-codes", short_help="New recovery codes instead of the old ones.")
@click.option("--with", "code", prompt="A new code of the authenticator", help="A code that was not used yet.")
@click.pass_obj
def recovery_codes(target: Target, code: str) -> None:
    """Make new recovery codes; the old ones count no more."""
    for one in target.connect().call("POST", f"{MINE}/actions/renew-recovery-codes", json={"code": code})[
        "recovery_codes"
    ]:
        click.echo(one)


@second_factor.command("remove", short_help="Do without it again.")
@click.option("--with", "code", prompt="A new code of the authenticator", help="A code that was not used yet.")
@click.pass_obj
def remove(target: Target, code: str) -> None:
    """Take your own second factor away."""
    target.connect().call("POST", f"{MINE}/actions/remove", json={"code": code})
    click.echo("Removed; the password alone signs you in again.")


@second_factor.command("reset", short_help="For somebody who lost it (administrators).")
@click.argument("user")
@click.option("--origin", default="uaa", show_default=True, help="Where the user signs in.")
@click.pass_obj
def reset(target: Target, user: str, origin: str) -> None:
    """Take the second factor of USER away. Make sure that it is them who ask."""
    target.connect().call("DELETE", f"/paasd/v1/users/{quote(user, safe='')}/second-factor", params={"origin": origin})
    click.echo(f"{user} signs in with the password alone now, and should enrol anew.")


@second_factor.command("demand", short_help="Show an organization only to those who have one.")
@click.argument("organization")
@click.argument("switch", type=click.Choice(["on", "off"]))
@click.pass_obj
def demand(target: Target, organization: str, switch: str) -> None:
    """Demand a second factor of everybody who works in ORGANIZATION, or do so no longer.

    Members without one do not see it until they have enrolled; deploy tokens that were made without one stop to count.
    """
    path = organization_path(organization)
    target.connect().call("PUT", f"{path}/second-factor", json={"demanded": switch == "on"})
    click.echo(
        f"{organization} {'demands a second factor' if switch == 'on' else 'demands no second factor any more'}."
    )
