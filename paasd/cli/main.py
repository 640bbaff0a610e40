"""The command group and the options that say which platform and which space are meant."""

from typing import Any

import click

import paasd
from paasd.cli.accounts import user
from paasd.cli.admins import admin
from paasd.cli.apps import app, apps, env, logs
from paasd.cli.audit import audit
from paasd.cli.client import DEFAULT_DATA, Identity, Target
from paasd.cli.configuration import config
from paasd.cli.deploy_tokens import deploy_token
from paasd.cli.invite import invite
from paasd.cli.network import network, security_group
from paasd.cli.nodes import join, keys, members, node, token
from paasd.cli.operate import delete, restart, scale
from paasd.cli.platform import create_org, create_space, stack, status, stop
from paasd.cli.push import push
from paasd.cli.quota import quota
from paasd.cli.recovery import backup, recover, restore
from paasd.cli.revisions import revisions
from paasd.cli.second_factor import second_factor
from paasd.cli.serve import serve
from paasd.cli.sessions import sign_out
from paasd.cli.ssh import cp, disable_ssh, enable_ssh, org_ssh, space_ssh, ssh, ssh_code
from paasd.cli.tasks import run
from paasd.errors import PaasdError

QUICKSTART = """\
Push source code, get a running, isolated app.

\b
  sudo paasd serve                          start a node (Ctrl-C stops the daemon, not the apps)
  sudo paasd push hello examples/flask-app  source in, URL out
  sudo paasd apps                           what there is, and where it answers
  sudo paasd logs hello --follow            what the app prints
  sudo paasd scale hello -i 2               two instances
  sudo paasd delete hello                   away with it

On the node itself root needs no sign-in. From elsewhere name the API, a user and the platform's CA:

\b
  export PAASD_PASSWORD=...
  paasd --api https://api.system.localhost --user admin --ca ca.pem --space main/dev apps

`paasd COMMAND --help` tells more about each.
"""
SECTIONS = {
    "Apps": (push, apps, app, logs, scale, restart, env, revisions, run, network, delete, quota),
    "ssh": (ssh, cp, ssh_code, enable_ssh, disable_ssh, space_ssh, org_ssh),
    "Platform": (serve, status, stop, config, stack, create_org, create_space, security_group),
    "Sign-in": (invite, user, admin, deploy_token, second_factor, sign_out),
    "Nodes": (token, join, members, node, keys, backup, restore, recover, audit),
}


class Sections(click.Group):
    """Commands below headings in the order of need; what the daemon's own parts refuse is one sentence."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PaasdError as error:
            raise click.ClickException(error.detail) from error
        except PermissionError as error:
            raise click.ClickException(
                f"{error.filename or 'that'} needs root: use sudo (sudo -E keeps PAASD_DATA)"
            ) from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [str(command.name) for commands in SECTIONS.values() for command in commands]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(str(one.name), one.get_short_help_str(80)) for one in commands])


CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(cls=Sections, help=QUICKSTART, context_settings=CONTEXT)
@click.option("--api", metavar="URL", envvar="PAASD_API", help="The API; without it, this machine's daemon.")
@click.option("--user", metavar="NAME", envvar="PAASD_USER", help="Who signs in at --api.")
@click.option("--password", metavar="TEXT", envvar="PAASD_PASSWORD", help="Better given as PAASD_PASSWORD.")
@click.option("--code", metavar="DIGITS", envvar="PAASD_CODE", help="Code of the second factor of --user.")
@click.option("--passcode", metavar="CODE", envvar="PAASD_PASSCODE", help="From the page /passcode, instead of --user.")
@click.option(
    "--deploy-token",
    "token",
    metavar="TOKEN",
    envvar="PAASD_DEPLOY_TOKEN",
    help="Instead of --user; better given as PAASD_DEPLOY_TOKEN.",
)
@click.option("--ca", metavar="FILE", envvar="PAASD_CA", help="The platform's CA certificate.")
@click.option(
    "--space", metavar="ORG/SPACE", envvar="PAASD_SPACE", default="main/dev", show_default=True, help="Where to work."
)
@click.option(
    "--data", metavar="DIR", envvar="PAASD_DATA", default=DEFAULT_DATA, show_default=True, help="The daemon's data."
)
@click.version_option(paasd.__version__)
@click.pass_context
def main(
    context: click.Context,
    /,
    api: str | None,
    ca: str | None,
    space: str,
    data: str,
    **identity: str | None,
) -> None:
    """Set up the target of the commands below."""
    context.obj = Target(api, ca, space, data, Identity(**identity))


for group in SECTIONS.values():
    for command in group:
        main.add_command(command)
