"""`paasd sign-out`: end sessions, wherever they are."""

import click

from paasd.cli.client import Client, Target


@click.command("sign-out", short_help="End every session of a user.")
@click.argument("user", required=False)
@click.pass_obj
def sign_out(target: Target, user: str | None) -> None:
    """End every session of the one who signs in, or as an administrator those of USER: on all machines, at once.

    \b
      paasd --api URL --user me sign-out       I have lost my laptop
      sudo paasd sign-out ada                  she has lost hers
    """
    client = target.connect()
    guid = client.call("GET", "/uaa/userinfo")["user_id"] if user is None else _guid_of(client, user)
    if guid == "root":
        raise click.UsageError("root has no sessions here; name the USER")
    said = client.call("DELETE", f"/uaa/oauth/token/revoke/user/{guid}")
    click.echo(f"Done: {said['message']}.")


def _guid_of(client: Client, name: str) -> str:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    found = client.call("GET", "/uaa/Users", params={"filter": f'userName eq "{quoted}"'})["resources"]
    if len(found) != 1:
        raise click.ClickException(f"there are {len(found)} users of that name; give the guid to the API instead")
    return str(found[0]["id"])
