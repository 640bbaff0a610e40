"""Commands about deploy tokens: what a pipeline signs in with."""

from urllib.parse import quote

import click

from paasd.cli import render
from paasd.cli.client import Target
from paasd.cli.durations import Duration

ROLES = ("space_developer", "space_supporter", "space_auditor", "organization_auditor")


@click.group("deploy-token", short_help="Tokens with which pipelines sign in.")
def deploy_token() -> None:
    """Tokens with which a pipeline (CI) signs in instead of a person: for one space, one role, and a time.

    \b
      paasd --space main/dev deploy-token create github-main
      PAASD_DEPLOY_TOKEN=paasd-deploy-... paasd --api URL --space main/dev push hello .
    """


@deploy_token.command("create", short_help="Make one; it is shown this once.")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), default="space_developer", show_default=True, help="What it may.")
@click.option("--life", "life_s", type=Duration(), help="Such as 12h or 30d; without it as long as the platform says.")
@click.pass_obj
def create(target: Target, name: str, role: str, life_s: int | None) -> None:
    """Make a token NAME for the space of --space (with organization_auditor: for its organization).

    It gives no more than you have there or may grant, and counts only as long as that stays so. The `cf` CLI takes it
    as `cf auth ID SECRET --client-credentials`; both are its halves, before and after the dot.

    \b
      paasd deploy-token create github-main                     deploys
      paasd deploy-token create watcher --role space_auditor    only reads
    """
    body = {"name": name, "role": role, **({} if life_s is None else {"life_s": life_s})}
    made = target.connect().call("POST", _path(target, of_organization=not role.startswith("space")), json=body)
    click.echo(made["token"])
    click.echo(
        f"It counts until {made['expires_at']}, as {made['role']}. Keep it as PAASD_DEPLOY_TOKEN of the pipeline;",
        err=True,
    )
    click.echo("examples/ci/deploy.sh shows what it does there. It is not shown again.", err=True)


@deploy_token.command("list", short_help="Those that you may revoke.")
@click.option("--org", "of_organization", is_flag=True, help="Those of the organization instead of the space.")
@click.pass_obj
def list_tokens(target: Target, of_organization: bool) -> None:
    """List the tokens that you made; as a manager of the place all of them."""
    found = target.connect().call("GET", _path(target, of_organization=of_organization))["deploy_tokens"]
    rows = [
        (
            one["name"],
            one["role"],
            one["created_by"],
            one["expires_at"],
            one["last_used_on"] or "never",
            one["problem"] or "counts",
        )
        for one in found
    ]
    render.table(("name", "role", "made by", "expires at", "last used", "state"), rows)


@deploy_token.command("revoke", short_help="It counts no more, at once.")
@click.argument("name")
@click.option("--org", "of_organization", is_flag=True, help="One of the organization instead of the space.")
@click.pass_obj
def revoke(target: Target, name: str, of_organization: bool) -> None:
    """Revoke the token NAME."""
    path = _path(target, of_organization=of_organization)
    target.connect().call("DELETE", f"{path}/{quote(name, safe='')}")
    click.echo(f"Revoked deploy token {name}.")


def _path(target: Target, *, of_organization: bool) -> str:
    place = target.organization_path if of_organization else target.space_path
    return f"{place}/deploy-tokens"
