"""Commands that look at apps: list, show, logs, env."""

import sys
from collections.abc import Iterator
from typing import Any

import click

from paasd.cli import render
from paasd.cli.client import Client, Target
from paasd.cli.urls import Urls

GUIDS_PER_CALL = 100
"""How many fit into a URL well."""
LINES_LIMIT = 1000


@click.command(short_help="List the apps of the space.")
@click.pass_obj
def apps(target: Target) -> None:
    """List the apps of the space: state, running instances of each process type, and where they answer."""
    client = target.connect()
    found = client.pages(target.space_path + "/apps", order_by="name")
    if not found:
        click.echo(f"No apps in {target.organization}/{target.space} yet; `paasd push NAME FOLDER` makes one.")
        return
    guids = [app["guid"] for app in found]
    processes = _of_apps(client, "/v3/processes", guids, embed="process_instances")
    routes = _of_apps(client, "/v3/routes", guids)
    urls = Urls(client)
    rows = []
    for app in found:
        own = [one for one in processes if one["relationships"]["app"]["data"]["guid"] == app["guid"]]
        leading = [one for one in routes if any(to["app"]["guid"] == app["guid"] for to in one["destinations"])]
        rows.append((app["name"], app["state"].lower(), _counts(own), " ".join(urls.of(leading))))
    render.table(["name", "state", "processes", "urls"], rows)


def _of_apps(client: Client, path: str, guids: list[str], **params: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for start in range(0, len(guids), GUIDS_PER_CALL):
        found += client.pages(path, app_guids=",".join(guids[start : start + GUIDS_PER_CALL]), **params)
    return list({one["guid"]: one for one in found}.values())


def _counts(processes: list[dict[str, Any]]) -> str:
    counts = []
    for process in sorted(processes, key=lambda found: (found["type"] != "web", found["type"])):
        running = sum(instance["state"] == "RUNNING" for instance in process["process_instances"])
        counts.append(f"{process['type']}:{running}/{process['instances']}")
    return " ".join(counts)


@click.command(short_help="Show one app and what its instances use.")
@click.argument("name")
@click.pass_obj
def app(target: Target, name: str) -> None:
    """Show one app: where it answers, what it was built with, and what each instance uses of CPU, memory and disk."""
    client = target.connect()
    found = client.call("GET", target.app_path(name))
    path = f"/v3/apps/{found['guid']}"
    urls = Urls(client).of(client.pages(path + "/routes"))
    rows = [("name", found["name"]), ("state", _state(found)), ("urls", " ".join(urls) or "none")]
    droplet = client.find(path + "/droplets/current")
    if droplet is None:
        rows.append(("droplet", "none yet; a push makes one"))
    else:
        packs = [" ".join(filter(None, (one["name"], one.get("version")))) for one in droplet["buildpacks"] or []]
        rows.append(("pushed", render.moment(droplet["created_at"])))
        rows.append(("built by", f"{', '.join(packs) or 'no buildpack'} on the stack {droplet['stack']}"))
    render.fields(rows)
    for process in client.pages(path + "/processes"):
        _show_process(client, process)


def _state(app: dict[str, Any]) -> str:
    state = str(app["state"]).lower()
    return click.style(state, fg=render.STATE_COLORS.get(state))


def _show_process(client: Client, process: dict[str, Any]) -> None:
    stats = client.call("GET", f"/v3/processes/{process['guid']}/stats")["resources"]
    running = sum(one["state"] == "RUNNING" for one in stats)
    memory, disk = (render.size(process[key] * 1024 * 1024) for key in ("memory_in_mb", "disk_in_mb"))
    click.echo(
        f"\n{click.style(process['type'], bold=True)}: {running} of {process['instances']} running, "
        f"{memory} memory and {disk} disk each"
    )
    if stats:
        render.table(["#", "state", "up", "cpu", "memory", "disk", "details"], [_instance(one) for one in stats])


def _instance(stats: dict[str, Any]) -> tuple[object, ...]:
    usage = stats.get("usage")
    used: tuple[object, ...] = ("-", "-", "-")
    if usage:
        memory = f"{render.size(usage['mem'])} of {render.size(stats['mem_quota'])}"
        disk = f"{render.size(usage['disk'])} of {render.size(stats['disk_quota'])}"
        used = (f"{usage['cpu'] * 100:.1f}%", memory, disk)
    up = render.duration(stats.get("uptime") or 0) if stats["state"] == "RUNNING" else "-"
    return stats["index"], stats["state"].lower(), up, *used, stats.get("details") or ""


@click.command(short_help="Print what an app logs; -f goes on.")
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(0, 1000), default=100, show_default=True, help="How many old lines.")
@click.pass_obj
def logs(target: Target, name: str, follow: bool, lines: int) -> None:
    """Print an app's log: its output (APP), builds (STG), requests (RTR), instances (CELL) and changes (API)."""
    count = 0
    try:
        for envelope in _lines(target.connect(), target.app_path(name) + "/logs", follow, lines):
            render.log_line(envelope)
            count += 1
    except KeyboardInterrupt:
        return
    if follow:
        raise click.ClickException("the daemon ended the stream, as it does when it stops; `paasd status` shows it")
    if not count and lines:
        click.echo(f"{name} has logged nothing yet.", err=True)


def _lines(client: Client, path: str, follow: bool, lines: int) -> Iterator[dict[str, Any]]:
    """Envelopes; a stream ends with the token that it was asked for with, and goes on with the next."""
    newest, before = 0, 0
    while True:
        params = {"lines": str(lines), **({"follow": "1"} if follow else {})}
        for envelope in client.stream("GET", path, params=params):
            at = int(envelope["timestamp"])
            if at > before:
                yield envelope
            newest = max(newest, at)
        if not follow or not client.renew():
            return
        before, lines = newest, LINES_LIMIT


@click.command(short_help="Show or change environment variables.")
@click.argument("name")
@click.argument("changes", nargs=-1, metavar="[KEY=VALUE | KEY=]...")
@click.option("--stdin", is_flag=True, help="Read more of them, one a line, so that no list of processes shows them.")
@click.pass_obj
def env(target: Target, name: str, changes: tuple[str, ...], stdin: bool) -> None:
    """Show an app's environment variables, or set KEY=VALUE and unset KEY=.

    Changes count from the next `paasd restart` or push on.

    \b
      paasd env hello GREETING="good day" DEBUG=
      paasd env hello --stdin < secrets
    """
    if stdin:
        changes += tuple(line for line in sys.stdin.read().splitlines() if line.strip())
    client = target.connect()
    found = client.call("GET", target.app_path(name))
    if changes:
        values = {}
        for change in changes:
            key, separator, value = change.partition("=")
            if not separator or not key:
                raise click.UsageError(f"{change!r} is not KEY=VALUE (set) or KEY= (unset)")
            values[key] = value or None
        client.call("PATCH", f"/v3/apps/{found['guid']}/environment_variables", json={"var": values})
        click.echo(f"Changed; `paasd restart {name}` makes it count.")
        return
    shown = client.call("GET", f"/v3/apps/{found['guid']}/env")["environment_variables"]
    for key, value in sorted(shown.items()):
        click.echo(f"{key}={render.printable(value)}")
    if not shown:
        click.echo(f"{name} has no variables of its own; `paasd env {name} KEY=VALUE` sets one.", err=True)
