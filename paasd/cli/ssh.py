"""Into an instance: a shell, commands, forwarded ports and files, by the ssh of this machine; and who may."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from paasd.cli.client import Target, organization_path

_ALIAS = "paasd-instance"
_ASKPASS = '#!/bin/sh\nprintf "%s\\n" "$PAASD_SSH_CODE"\n'
_MISSING = "{name} is not on this machine; install it (Debian: apt install openssh-client)"
_instance = click.option("-i", "--index", metavar="N", type=click.IntRange(0), default=0, help="Which instance.")
_process = click.option("--process", metavar="TYPE", default="web", show_default=True, help="Of which process.")


@click.command(short_help="A shell in an instance of an app; also commands and ports.")
@click.argument("name")
@_instance
@_process
@click.option("-c", "--command", metavar="TEXT", help="Run this in place of a shell; its exit status is this one's.")
@click.option("-L", "forwards", metavar="PORT:HOST:PORT", multiple=True, help="A port of this machine leads there.")
@click.option("-N", "--no-shell", is_flag=True, help="Forward ports only, until Ctrl-C.")
@click.option("-t", "--tty", is_flag=True, help="A terminal also for a command.")
@click.option("-T", "--no-tty", is_flag=True, help="No terminal, also for a shell.")
@click.pass_obj
def ssh(target: Target, /, name: str, index: int, process: str, **how: Any) -> None:
    """Enter an instance of the app NAME, as developers of its space may. What you start there ends with you.

    The environment is the app's. What is changed on its disk is gone when the instance is replaced.

    \b
      paasd ssh hello
      paasd ssh hello -i 1 -c "ps aux"
      paasd ssh hello -N -L 5432:database.internal:5432
    """
    invited = _invited(target, name, process, index)
    words = [f"-L{forward}" for forward in how["forwards"]]
    words += [flag for flag, wanted in (("-N", how["no_shell"]), ("-tt", how["tty"]), ("-T", how["no_tty"])) if wanted]
    command = [] if how["command"] is None else ["--", how["command"]]
    sys.exit(_run(target, "ssh", invited, [*words, "-l", invited["user"], _ALIAS, *command]))


@click.command(short_help="Copy files from and to an instance.")
@click.argument("source")
@click.argument("destination")
@click.option("-r", "--recursive", is_flag=True, help="Folders too.")
@_instance
@_process
@click.pass_obj
def cp(target: Target, /, source: str, destination: str, recursive: bool, index: int, process: str) -> None:
    """Copy SOURCE to DESTINATION; one of them is NAME:PATH, a path in an instance of the app NAME.

    \b
      paasd cp hello:logs/today.txt .
      paasd cp -r fixtures hello:
    """
    there = [one for one in (source, destination) if ":" in one and not one.startswith((".", "/"))]
    if len(there) != 1:
        raise click.UsageError("one of the two is NAME:PATH, such as hello:logs/today.txt, and the other a path here")
    invited = _invited(target, there[0].partition(":")[0], process, index)
    places = [
        f"{_ALIAS}:{one.partition(':')[2]}" if one in there else os.path.relpath(one) for one in (source, destination)
    ]
    user = ["-o", f"User={invited['user']}"]
    sys.exit(_run(target, "scp", invited, [*(["-r"] if recursive else []), *user, "--", *places]))


@click.command(short_help="A code for an ssh client of your own.")
@click.argument("name")
@_instance
@_process
@click.pass_obj
def ssh_code(target: Target, /, name: str, index: int, process: str) -> None:
    """Print where to connect, as whom, and a code that counts once, as password, for a minute.

    \b
      sftp -P PORT -o User=USER HOST
    """
    invited = _invited(target, name, process, index)
    for title in ("host", "port", "user", "code", "host_key", "host_key_fingerprint"):
        click.echo(f"{title.replace('_', ' ')}: {invited[title]}")


def _invited(target: Target, name: str, process: str, index: int) -> dict[str, Any]:
    body = {"process": process, "index": index}
    found: dict[str, Any] = target.connect().call("POST", target.app_path(name) + "/ssh", json=body)
    return found


def _run(target: Target, program: str, invited: dict[str, Any], words: Sequence[str]) -> int:
    """The exit status of ssh or scp, which is shown the host key before and gives the code by itself."""
    path = shutil.which(program)
    if path is None:
        raise click.ClickException(_MISSING.format(name=program))
    host = invited["host"]
    if host.endswith(".localhost") or (target.api is None and host.startswith("ssh.")):
        host = "127.0.0.1"
    with _known(invited["host_key"]) as folder:
        options = {
            "HostName": host,
            "Port": invited["port"],
            "HostKeyAlias": _ALIAS,
            "UserKnownHostsFile": folder / "known_hosts",
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "PreferredAuthentications": "password",
            "NumberOfPasswordPrompts": 1,
            "ServerAliveInterval": 30,
            "ExitOnForwardFailure": "yes",
            "LogLevel": "INFO" if program == "ssh" and not sys.stdout.isatty() else "ERROR",
        }
        environment = {
            **os.environ,
            "SSH_ASKPASS": str(folder / "askpass"),
            "SSH_ASKPASS_REQUIRE": "force",
            "PAASD_SSH_CODE": invited["code"],
        }
        flags = [flag for name, value in options.items() for flag in ("-o", f"{name}={value}")]
        return subprocess.run([path, "-F", "none", *flags, *words], env=environment, check=False).returncode


@contextmanager
def _known(host_key: str) -> Iterator[Path]:
    """A folder that is gone afterwards, with the one host key that is right and a program that tells the code."""
    with tempfile.TemporaryDirectory(prefix="paasd-ssh-") as name:
        folder = Path(name)
        (folder / "known_hosts").write_text(f"{_ALIAS} {host_key}\n")
        (folder / "askpass").write_text(_ASKPASS)
        (folder / "askpass").chmod(0o700)
        yield folder


def _switch(enabled: bool, verb: str, help_text: str) -> click.Command:
    @click.command(name=f"{verb}-ssh", short_help=help_text)
    @click.argument("name")
    @click.pass_obj
    def switch(target: Target, /, name: str) -> None:
        client = target.connect()
        app = client.call("GET", target.app_path(name))
        client.call("PATCH", f"/v3/apps/{app['guid']}/features/ssh", json={"enabled": enabled})
        now = client.call("GET", f"/v3/apps/{app['guid']}/ssh_enabled")
        click.echo(_told(f"ssh into {name}", now["enabled"], now["reason"]))

    switch.help = f"{help_text} Developers of the space may say so; who is in goes at once when it is forbidden."
    return switch


def _told(what: str, enabled: bool, reason: str) -> str:
    return f"{what} is {'allowed' if enabled else f'not allowed ({reason})'}."


enable_ssh = _switch(True, "enable", "Allow ssh into an app.")
disable_ssh = _switch(False, "disable", "Forbid ssh into an app.")


@click.command(short_help="Allow or forbid ssh into all apps of the space.")
@click.argument("word", type=click.Choice(["allow", "forbid"]), metavar="allow|forbid")
@click.pass_obj
def space_ssh(target: Target, /, word: str) -> None:
    """Managers of the space or its organization say so; who is in goes at once when it is forbidden."""
    client = target.connect()
    organizations = client.pages("/v3/organizations", names=target.organization)
    of = ",".join(one["guid"] for one in organizations)
    spaces = client.pages("/v3/spaces", names=target.space, organization_guids=of) if of else []
    if not spaces:
        raise click.ClickException(f"{target.organization}/{target.space} is not there, or you have no role in it")
    space = spaces[0]["guid"]
    now = client.call("PATCH", f"/v3/spaces/{space}/features/ssh", json={"enabled": word == "allow"})
    click.echo(_told(f"ssh into apps of {target.organization}/{target.space}", now["enabled"], "by the space"))


@click.command(short_help="Allow or forbid ssh in a whole organization.")
@click.argument("organization")
@click.argument(
    "word", type=click.Choice(["allow", "forbid", "default"]), metavar="allow|forbid|default", required=False
)
@click.pass_obj
def org_ssh(target: Target, /, organization: str, word: str | None) -> None:
    """What an organization says about ssh; without a word, show it. `default` is what the platform says.

    Managers of the organization and administrators may say so; who is in goes at once when it is forbidden.
    """
    client, path = target.connect(), f"{organization_path(organization)}/ssh"
    if word is None:
        now = client.call("GET", path)
    else:
        now = client.call("PATCH", path, json={"allowed": {"allow": True, "forbid": False, "default": None}[word]})
    who = "by the platform's default" if now["allowed"] is None else "by the organization"
    click.echo(f"ssh in {organization} is {'allowed' if now['effective'] else 'forbidden'} {who}.")
