"""A command that tells what an app was started with, and goes back to former code."""

from typing import Any

import click

from paasd.cli import render
from paasd.cli.client import Client, Target
from paasd.cli.operate import start_again


@click.command(short_help="List what an app was started with; go back to former code.")
@click.argument("name")
@click.option("--back-to", metavar="VERSION", type=click.IntRange(1), help="Run the code of this version again.")
@click.pass_obj
def revisions(target: Target, name: str, back_to: int | None) -> None:
    """List what the app NAME was started with, newest first.

    A start with another droplet, other variables, commands or sidecars than the one before makes a revision. What runs
    is what the newest start said: a change waits for the next one.

    --back-to takes the droplet of a version, if it is kept still, and restarts. Variables and commands stay as they are
    now; `cf revision NAME --version N` shows those of a version.

    \b
      paasd revisions hello
      paasd revisions hello --back-to 3
    """
    client = target.connect()
    app = client.call("GET", target.app_path(name))
    if back_to is not None:
        _go_back(client, app, back_to)
        return
    path = f"/v3/apps/{app['guid']}/revisions"
    running = {one["guid"] for one in client.pages(path + "/deployed")}
    found = client.pages(path, order_by="-created_at")
    if not found:
        click.echo(f"{name} has no revisions: it was not started yet, or they are switched off for it.")
        return
    rows = [
        (
            one["version"],
            "runs" if one["guid"] in running else "",
            "kept" if one["deployable"] else "gone",
            render.moment(one["created_at"]),
            one["description"],
        )
        for one in found
    ]
    render.table(["version", "", "droplet", "first started", "why"], rows)


def _go_back(client: Client, app: dict[str, Any], version: int) -> None:
    name, path = app["name"], f"/v3/apps/{app['guid']}"
    found = client.pages(f"{path}/revisions", versions=str(version))
    if not found:
        raise click.ClickException(f"{name} has no version {version}; `paasd revisions {name}` lists those there are")
    if not found[0]["deployable"]:
        raise click.ClickException(
            f"the droplet of version {version} is gone, as only the newest are kept ([retention] droplets); "
            "push that code again"
        )
    client.call("PATCH", f"{path}/relationships/current_droplet", json={"data": found[0]["droplet"]})
    start_again(client, app)
