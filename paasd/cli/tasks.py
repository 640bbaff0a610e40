"""A command that runs a program of an app once, such as a migration of its database."""

import shlex
import time
from typing import Any

import click

from paasd.cli import render
from paasd.cli.client import Client, Target
from paasd.cli.operate import Megabytes

POLL_S = 0.5
PATIENCE_S = 3.0
LINES = "1000"
ENDED = ("SUCCEEDED", "FAILED")


@click.command(short_help="Run a command once, with an app's code.", context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--task", metavar="TEXT", help="What the task is called in the log.")
@click.option("-m", "--memory", "memory_in_mb", type=Megabytes(), help="Its memory, such as 512M.")
@click.option("-k", "--disk", "disk_in_mb", type=Megabytes(), help="Its disk, such as 1G.")
@click.option("-d", "--detach", is_flag=True, help="Do not wait for its end.")
@click.pass_obj
def run(
    target: Target, /, name: str, command: tuple[str, ...], task: str | None, detach: bool, **sizes: int | None
) -> None:
    """Run COMMAND once as a task of the app NAME: with its droplet, its variables and room of its own.

    Prints what the task prints and fails if it fails. Ctrl-C leaves it running.

    \b
      paasd run hello python manage.py migrate
      paasd run hello -m 1G --task report -- ./report --all
    """
    client = target.connect()
    app = client.call("GET", target.app_path(name))
    text = command[0] if len(command) == 1 else shlex.join(command)
    body = {key: value for key, value in {**sizes, "name": task}.items() if value is not None}
    made = client.call("POST", f"/v3/apps/{app['guid']}/tasks", json={"command": text, **body})
    if detach:
        click.echo(f"Task {made['name']} is number {made['sequence_id']}; `paasd logs {name}` shows what it prints.")
        return
    path, shown, waiting, begun = f"/v3/tasks/{made['guid']}", 0, False, time.monotonic()
    while True:
        now = client.call("GET", path)
        shown = _print_new(client, target.app_path(name), made["guid"], shown)
        if now["state"] in ENDED:
            break
        if now["state"] == "PENDING" and not waiting and time.monotonic() > begun + PATIENCE_S:
            waiting = True
            render.progress("waiting for a node with room ...")
        time.sleep(POLL_S)
    if now["state"] == "FAILED":
        raise click.ClickException(f"{now['result']['failure_reason']}")


def _print_new(client: Client, app_path: str, task_guid: str, shown: int) -> int:
    """Print lines of the task beyond the first `shown`; how many there are now."""
    lines: list[dict[str, Any]] = [
        envelope
        for envelope in client.stream("GET", app_path + "/logs", params={"lines": LINES})
        if envelope["tags"].get("process_instance_id") == task_guid
    ]
    for envelope in lines[shown:]:
        render.log_line(envelope)
    return max(shown, len(lines))
