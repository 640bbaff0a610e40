"""Commands that change running apps: scale, restart, delete. Each waits until it has come true."""

import re
import time
from typing import Any
from urllib.parse import unquote, urlsplit

import click

from paasd.cli import render
from paasd.cli.client import ApiError, Client, Target

POLL_S = 0.3
WAIT_LIMIT_S = 90.0
"""Longer than an instance may take to become healthy, unless it was given a timeout of its own."""


class Megabytes(click.ParamType[int]):
    """256, 256M, 1G: whole megabytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([1-9]\d{0,7})(M|MB|G|GB|)", str(value).upper())
        if match is None:
            self.fail(f"{value!r} is no size such as 512M or 1G", param, ctx)
        return int(match[1]) * (1024 if match[2].startswith("G") else 1)


class Count(click.ParamType[int]):
    """A whole number from 0 on."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if not str(value).isdecimal():
            self.fail(f"{value!r} is no whole number from 0 on", param, ctx)
        return int(value)


@click.command(short_help="Change the number or size of instances.")
@click.argument("name")
@click.option("-i", "--instances", type=Count(), help="How many.")
@click.option("-m", "--memory", "memory_in_mb", type=Megabytes(), help="Memory of each, such as 512M or 1G.")
@click.option("-k", "--disk", "disk_in_mb", type=Megabytes(), help="Disk of each, such as 512M or 2G.")
@click.option("-p", "--process", default="web", show_default=True, help="Process type.")
@click.pass_obj
def scale(target: Target, /, name: str, process: str, **amounts: int | None) -> None:
    """Change how many instances run, and how large they are (which restarts the app).

    \b
      paasd scale hello -i 3
      paasd scale hello -m 512M -k 2G
      paasd scale hello -p worker -i 1
    """
    body = {key: value for key, value in amounts.items() if value is not None}
    if not body:
        raise click.UsageError("say what to change: --instances, --memory or --disk")
    client = target.connect()
    app = client.call("GET", target.app_path(name))
    try:
        scaled = client.request("POST", f"/v3/apps/{app['guid']}/processes/{process}/actions/scale", json=body)
    except ApiError as error:
        if error.status != 404:
            raise
        types = ", ".join(one["type"] for one in client.pages(f"/v3/apps/{app['guid']}/processes"))
        raise click.ClickException(f"{name} has no process {process!r}; it has: {types}") from error
    resized = not body.keys().isdisjoint(("memory_in_mb", "disk_in_mb"))
    warning = unquote(scaled.headers.get("X-Cf-Warnings", ""))
    # Another number restarts nothing: what runs goes on, and whether the others find a place is seen by waiting.
    if resized and "insufficient resources" in warning:
        raise click.ClickException(f"{name} is not restarted. {warning}")
    if app["state"] != "STARTED":
        click.echo(f"{name} is scaled; it is stopped, so `paasd restart {name}` starts it.")
        return
    if resized:
        client.call("POST", f"/v3/apps/{app['guid']}/actions/restart")
    _wait_until_running(client, app, process)


@click.command(short_help="Stop and start an app.")
@click.argument("name")
@click.pass_obj
def restart(target: Target, name: str) -> None:
    """Stop an app and start it with its newest droplet and environment variables."""
    client = target.connect()
    start_again(client, client.call("GET", target.app_path(name)))


def start_again(client: Client, app: dict[str, Any]) -> None:
    """Restart the app and wait for its instances. Raises ClickException when one crashed or it takes too long."""
    client.call("POST", f"/v3/apps/{app['guid']}/actions/restart")
    for process in client.pages(f"/v3/apps/{app['guid']}/processes"):
        if process["instances"]:
            _wait_until_running(client, app, process["type"])


def _wait_until_running(client: Client, app: dict[str, Any], process: str) -> None:
    """Until all instances run. Raises ClickException when one crashed or it takes too long."""
    name, path = app["name"], f"/v3/apps/{app['guid']}/processes/{process}"
    began = time.monotonic()
    wanted = client.call("GET", path)["instances"]
    told = None
    while True:
        stats = client.call("GET", path + "/stats")["resources"]
        running = sum(one["state"] == "RUNNING" for one in stats)
        if running == wanted == len(stats):
            took_s = time.monotonic() - began
            click.secho(f"{name} ({process}): {running} of {wanted} running after {took_s:.1f} s", fg="green")
            return
        for one in stats:
            if one["state"] in ("CRASHED", "DOWN") and one.get("details"):
                raise click.ClickException(
                    f"{name} ({process}): instance {one['index']} is {one['state'].lower()}: {one['details']}; "
                    f"`paasd logs {name}` says more"
                )
        if time.monotonic() - began > WAIT_LIMIT_S:
            raise click.ClickException(
                f"{name} ({process}): {running} of {wanted} running after {WAIT_LIMIT_S:.0f} s; "
                f"it goes on starting, see `paasd app {name}`"
            )
        if (running, len(stats)) != told:
            told = (running, len(stats))
            render.progress(f"{running} of {wanted} running ...")
        time.sleep(POLL_S)


@click.command(short_help="Delete an app and its routes.")
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def delete(target: Target, name: str, yes: bool) -> None:
    """Delete an app, and the routes that lead to nothing else."""
    client = target.connect()
    client.call("GET", target.app_path(name))
    if not yes:
        try:
            click.confirm(f"Delete {name} and its routes?", abort=True)
        except click.Abort:
            raise click.ClickException(f"{name} was not deleted; --yes deletes without asking") from None
    job = urlsplit(client.request("DELETE", target.app_path(name)).headers["Location"]).path
    deadline = time.monotonic() + WAIT_LIMIT_S
    while (state := client.call("GET", job))["state"] not in ("COMPLETE", "FAILED"):
        if time.monotonic() > deadline:
            raise click.ClickException(f"{name} is still being deleted; `paasd apps` shows when it is gone")
        time.sleep(POLL_S)
    if state["state"] == "FAILED":
        raise click.ClickException(f"{name} was not deleted: {state['errors'][0]['detail']}")
    click.echo(f"Deleted {name}.")
