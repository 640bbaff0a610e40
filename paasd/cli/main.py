"""The command group and the options that say which platform and which space are meant."""

import click

import paasd
from paasd.cli.apps import app, apps, delete, env, logs, push, scale
from paasd.cli.client import DEFAULT_DATA, Target
from paasd.cli.configuration import config
from paasd.cli.platform import create_org, create_space, stack, status, stop
from paasd.cli.serve import serve

QUICKSTART = """\
Push source code, get a running, isolated app.

\b
  sudo paasd serve                      start a node (Ctrl-C stops the daemon, not the apps)
  sudo paasd create-space main/dev      an organization and a space to push to
  sudo paasd push hello examples/flask  source in, URL out
  sudo paasd logs hello --follow        what the app prints
  sudo paasd scale hello -i 2           two instances

On the node itself no sign-in is needed for root. From elsewhere name the API, a user and the platform's CA:

\b
  paasd --api https://api.system.localhost --user admin --ca ca.pem --space main/dev apps
"""


@click.group(help=QUICKSTART, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--api", envvar="PAASD_API", help="URL of the API; without it, this machine's daemon.")
@click.option("--user", envvar="PAASD_USER", help="Who signs in at --api.")
@click.option("--password", envvar="PAASD_PASSWORD", help="Their password; better given as PAASD_PASSWORD.")
@click.option("--ca", envvar="PAASD_CA", help="File with the platform's CA certificate.")
@click.option("--space", envvar="PAASD_SPACE", default="main/dev", show_default=True, help="ORG/SPACE to work in.")
@click.option("--data", envvar="PAASD_DATA", default=DEFAULT_DATA, show_default=True, help="The local daemon's data.")
@click.version_option(paasd.__version__)
@click.pass_context
def main(
    context: click.Context,
    api: str | None,
    user: str | None,
    password: str | None,
    ca: str | None,
    space: str,
    data: str,
) -> None:
    """Set up the target of the commands below."""
    context.obj = Target(api, user, password, ca, space, data)


PLATFORM = (serve, config, status, stop, stack, create_org, create_space)
for command in (*PLATFORM, push, apps, app, logs, scale, env, delete):
    main.add_command(command)
