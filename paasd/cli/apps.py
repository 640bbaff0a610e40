"""Commands about apps: push, list, show, logs, scale, env, delete."""

import gzip
import io
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import click

from paasd.buildpacks.ignore import Ignore
from paasd.cli import render
from paasd.cli.client import Client, Target

UPLOAD_CHUNK_BYTES = 256 * 1024


@click.command()
@click.argument("name", required=False)
@click.argument("source", type=click.Path(exists=True, path_type=Path), default=".")
@click.option(
    "-f", "--manifest", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Manifest to apply."
)
@click.option("-q", "--quiet", is_flag=True, help="Only the result.")
@click.pass_obj
def push(target: Target, name: str | None, source: Path, manifest: Path | None, quiet: bool) -> None:
    """Push SOURCE (a folder, .zip or .tar.gz; default here) as the app NAME.

    A manifest.yml in the folder is used. What .cfignore names stays at home.
    """
    manifest = manifest or _manifest_of(source)
    if name is None and manifest is None:
        raise click.UsageError("give the app's NAME, or a manifest.yml that has it")
    with _package(source) as package:
        files: dict[str, Any] = {"bits": ("bits", package, "application/octet-stream")}
        if manifest is not None:
            files["manifest"] = ("manifest.yml", manifest.read_bytes(), "application/x-yaml")
        params = {"wait": "true", **({"name": name} if name else {})}
        result = None
        for event in target.connect().stream("POST", target.space_path + "/push", params=params, files=files):
            if event["type"] in ("result", "error"):
                result = event
            elif not quiet:
                render.push_event(event)
    _report_push(result)


def _report_push(result: dict[str, Any] | None) -> None:
    if result is None:
        raise click.ClickException("the connection ended before the push did; `paasd app NAME` shows how it went")
    if result["type"] == "error":
        raise click.ClickException(f"push failed: {result['detail']} ({result['title']})")
    instances = result["instances"]
    click.secho(f"{result['app']['name']} is up: {instances['running']} of {instances['total']} running", fg="green")
    for url in result["urls"]:
        click.echo(f"  {url}")
    render.waterfall(result["waterfall"])


def _manifest_of(source: Path) -> Path | None:
    for name in ("manifest.yml", "manifest.yaml"):
        if source.is_dir() and (source / name).is_file():
            return source / name
    return None


def _package(source: Path) -> BinaryIO:
    """The bits to upload: an archive as it is, a folder as a tar.gz in a temporary file."""
    if source.is_file():
        return source.open("rb")
    ignore = Ignore.of_directory(source)
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    # Level 1 is quick. Files keep their times, which web servers tell of them; the archive has none of its own.
    with (
        gzip.GzipFile(fileobj=spool, mode="wb", compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for path in _files(source, source, ignore):
            info = archive.gettarinfo(path, str(path.relative_to(source)))
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            info.mtime = int(info.mtime)
            with path.open("rb") if info.isreg() else io.BytesIO() as content:
                archive.addfile(info, content if info.isreg() else None)
    spool.seek(0)
    return spool


def _files(folder: Path, root: Path, ignore: Ignore) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        directory = path.is_dir() and not path.is_symlink()
        if ignore.matches(str(path.relative_to(root)), is_directory=directory):
            continue
        if path.is_symlink() or path.is_file() or directory:
            yield path
        if directory:
            yield from _files(path, root, ignore)


@click.command()
@click.pass_obj
def apps(target: Target) -> None:
    """List the apps of the space."""
    client = target.connect()
    found = client.call("GET", target.space_path + "/apps")["resources"]
    if not found:
        click.echo(f"No apps in {target.organization}/{target.space} yet; `paasd push NAME FOLDER` makes one.")
        return
    rows = [_row(client, app) for app in found]
    render.table(["name", "state", "instances", "urls"], rows)


def _row(client: Client, app: dict[str, Any]) -> tuple[str, str, str, str]:
    processes = client.pages("/v3/processes", app_guids=app["guid"], embed="process_instances")
    counts = []
    for process in sorted(processes, key=lambda found: found["type"] != "web"):
        running = sum(instance["state"] == "RUNNING" for instance in process["process_instances"])
        counts.append(f"{process['type']}:{running}/{process['instances']}")
    routes = client.pages(f"/v3/apps/{app['guid']}/routes")
    return app["name"], app["state"].lower(), " ".join(counts), ", ".join(route["url"] for route in routes)


def _app_path(target: Target, name: str) -> str:
    return f"{target.space_path}/apps/{quote(name, safe='')}"


@click.command()
@click.argument("name")
@click.pass_obj
def app(target: Target, name: str) -> None:
    """Show one app: its processes and every instance's use of CPU, memory and disk."""
    client = target.connect()
    found = client.call("GET", _app_path(target, name))
    _, state, _, urls = _row(client, found)
    click.echo(f"{found['name']}: {state}\nurls: {urls or 'none'}")
    for process in client.pages(f"/v3/apps/{found['guid']}/processes"):
        click.echo(f"\n{process['type']}: {process['instances']} x {process['memory_in_mb']}M")
        stats = client.call("GET", f"/v3/processes/{process['guid']}/stats")["resources"]
        render.table(["#", "state", "since", "cpu", "memory", "disk", "details"], [_instance(one) for one in stats])


def _instance(stats: dict[str, Any]) -> tuple[object, ...]:
    usage = stats.get("usage") or {}
    up = f"{stats.get('uptime') or 0} s"
    cpu = f"{usage.get('cpu', 0) * 100:.1f}%"
    memory = f"{render.size(usage.get('mem') or 0)} of {render.size(stats.get('mem_quota') or 0)}"
    disk = f"{render.size(usage.get('disk') or 0)} of {render.size(stats.get('disk_quota') or 0)}"
    return stats["index"], stats["state"].lower(), up, cpu, memory, disk, stats.get("details") or ""


@click.command()
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.pass_obj
def logs(target: Target, name: str, follow: bool) -> None:
    """Print an app's recent log lines."""
    path = _app_path(target, name) + "/logs"
    for envelope in target.connect().stream("GET", path, params={"follow": "1"} if follow else {}):
        render.log_line(envelope)


@click.command()
@click.argument("name")
@click.option("-i", "--instances", type=click.IntRange(min=0), help="How many.")
@click.option("-m", "--memory", "memory_in_mb", type=click.IntRange(min=1), help="Memory of each, in MB.")
@click.option("-k", "--disk", "disk_in_mb", type=click.IntRange(min=1), help="Disk of each, in MB.")
@click.option("-p", "--process", default="web", show_default=True, help="Process type.")
@click.pass_obj
def scale(target: Target, /, name: str, process: str, **amounts: int | None) -> None:
    """Change how many instances run, and how large they are (which restarts them)."""
    body = {key: value for key, value in amounts.items() if value is not None}
    if not body:
        raise click.UsageError("say what to change: --instances, --memory or --disk")
    client = target.connect()
    found = client.call("GET", _app_path(target, name))
    client.call("POST", f"/v3/apps/{found['guid']}/processes/{process}/actions/scale", json=body)
    if {"memory_in_mb", "disk_in_mb"} & set(body) and found["state"] == "STARTED":
        client.call("POST", f"/v3/apps/{found['guid']}/actions/restart")
    click.echo(f"{name}/{process} scaled: " + ", ".join(f"{key} {value}" for key, value in body.items()))


@click.command()
@click.argument("name")
@click.argument("changes", nargs=-1, metavar="[KEY=VALUE | KEY=]...")
@click.pass_obj
def env(target: Target, name: str, changes: tuple[str, ...]) -> None:
    """Show an app's environment, or set KEY=VALUE and unset KEY= (a restart makes it count)."""
    client = target.connect()
    found = client.call("GET", _app_path(target, name))
    if changes:
        values = {}
        for change in changes:
            key, separator, value = change.partition("=")
            if not separator:
                raise click.UsageError(f"{change!r} is not KEY=VALUE")
            values[key] = value or None
        client.call("PATCH", f"/v3/apps/{found['guid']}/environment_variables", json={"var": values})
        click.echo(f"Changed. `paasd push` or a restart of {name} makes it count.")
        return
    shown = client.call("GET", f"/v3/apps/{found['guid']}/env")["environment_variables"]
    for key, value in sorted(shown.items()):
        click.echo(f"{key}={value}")


@click.command()
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def delete(target: Target, name: str, yes: bool) -> None:
    """Delete an app with its routes."""
    if not yes:
        click.confirm(f"Delete {name} and its routes?", abort=True)
    target.connect().call("DELETE", _app_path(target, name))
    click.echo(f"Deleting {name}.")
