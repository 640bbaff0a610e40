"""Commands about invitations: how people get roles, and an account where they have none."""

from urllib.parse import quote

import click

from paasd.cli import render
from paasd.cli.client import Target
from paasd.cli.durations import Duration

OF_ORGANIZATION = {
    "manager": "organization_manager",
    "billing": "organization_billing_manager",
    "auditor": "organization_auditor",
}
OF_SPACE = {
    "manager": "space_manager",
    "developer": "space_developer",
    "auditor": "space_auditor",
    "supporter": "space_supporter",
}


@click.group(short_help="Let people into an organization.")
def invite() -> None:
    """Offer roles to an e-mail address, or to the account of a user name; whoever has the link takes them, once.

    \b
      paasd --space main/dev invite create ann@example.org --role developer
      paasd invite create bob@example.org --org-role auditor
      paasd invite accept paasd-invite-...
    """


@invite.command("create", short_help="Invite somebody, by mail or with a link that is shown this once.")
@click.argument("address")
@click.option(
    "--org-role",
    "org_roles",
    multiple=True,
    type=click.Choice(list(OF_ORGANIZATION)),
    help="In --space's organization.",
)
@click.option("--role", "roles", multiple=True, type=click.Choice(list(OF_SPACE)), help="In the space of --space.")
@click.option("--life", "life_s", type=Duration(), help="Such as 12h or 30d; without it seven days.")
@click.pass_obj
def create(
    target: Target, address: str, org_roles: tuple[str, ...], roles: tuple[str, ...], life_s: int | None
) -> None:
    """Invite ADDRESS to the organization of --space; with --role also to the space itself.

    If a mail server is configured ([mail] of `paasd config`), the link is sent to an e-mail address, and makes an
    account of that name for who has none. A link that was not sent is shown here and is for those with an account,
    unless an administrator invites. A user name without an @ is for the account of that name. Another invitation of
    the same address takes the place of the first.
    """
    body = {
        "address": address,
        "organization_roles": [OF_ORGANIZATION[one] for one in org_roles],
        "spaces": {target.space: [OF_SPACE[one] for one in roles]} if roles else {},
        **({} if life_s is None else {"life_s": life_s}),
    }
    made = target.connect().call("POST", _path(target), json=body)
    if made["link"] is not None:
        click.echo(made["link"])
    where = f"The link was sent to {address}." if made["sent"] else f"Not sent: {made['mail_problem']}."
    click.echo(f"{where} It works once, until {made['expires_at']}, and is not shown later.", err=True)


@invite.command("list", short_help="Invitations that have not expired.")
@click.pass_obj
def list_invitations(target: Target) -> None:
    """List the open invitations of the organization of --space."""
    rows = [
        (
            one["address"],
            ", ".join([*one["organization_roles"], *(f"{s}: {' '.join(r)}" for s, r in one["spaces"].items())])
            or "member",
            one["invited_by"],
            one["expires_at"],
            "sent" if one["sent"] else "not sent",
            "counts" if one["counts"] else "refused for now: who invited may not",
        )
        for one in target.connect().call("GET", _path(target))["invitations"]
    ]
    render.table(("address", "roles", "invited by", "expires at", "mail", "state"), rows)


@invite.command("revoke", short_help="It counts no more, at once.")
@click.argument("address")
@click.pass_obj
def revoke(target: Target, address: str) -> None:
    """Revoke the invitation of ADDRESS."""
    target.connect().call("DELETE", f"{_path(target)}/{quote(address, safe='')}")
    click.echo(f"Revoked the invitation of {address}.")


@invite.command("accept", short_help="Take the roles, as who is signed in.")
@click.argument("secret")
@click.pass_obj
def accept(target: Target, secret: str) -> None:
    """Accept the invitation with the SECRET of its link, with the account of --user."""
    body = {"secret": secret.partition("secret=")[2] or secret}
    answer = target.connect().call("POST", "/paasd/v1/invitations/accept", json=body)
    click.echo(f"{answer['username']} is in {answer['organization']} now.")


def _path(target: Target) -> str:
    return f"{target.organization_path}/invitations"
